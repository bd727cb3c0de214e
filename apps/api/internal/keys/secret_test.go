package keys

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretsAreUnlikeEachOtherAndTellWhatTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := newSecret("live")
		require.Regexp(t, `^gh_live_[A-Z2-7]{52}_[0-9a-f]{8}$`, s.text)
		require.Equal(t, s.text[:18], s.prefix)
		require.False(t, seen[s.prefix])
		seen[s.prefix] = true
		parsed, ok := parse(s.text)
		require.True(t, ok)
		require.Equal(t, s, parsed)
		sum := sha256.Sum256([]byte(s.text))
		require.Equal(t, sum[:], s.hash())
	}
}

// The same rule as authz has for what begins with one of its checksum_prefixes.
func TestChecksumIsTheOneThatTheGateLooksAt(t *testing.T) {
	text := newSecret("dev").text
	at := strings.LastIndexByte(text, '_')
	require.Equal(t, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text[:at]))), text[at+1:])
}

func TestWhatCannotBeAKeyIsToldApartWithoutAsking(t *testing.T) {
	good := newSecret("live").text
	resum := func(begin string) string { return begin + "_" + checksum(begin) }
	begin := good[:strings.LastIndexByte(good, '_')]
	for name, text := range map[string]string{
		"empty":                "",
		"no key":               "ory_at_x.y",
		"cut off":              good[:len(good)-1],
		"longer":               good + "0",
		"mistyped":             strings.Replace(good, begin[20:21], "0", 1),
		"checksum in capitals": begin + "_" + strings.ToUpper("ABCDEF0A"),
		"no environment":       resum("gh__" + begin[8:]),
		"other environment":    resum("gh_LIVE_" + begin[8:]),
		"long environment":     resum("gh_" + strings.Repeat("x", 17) + "_" + begin[8:]),
		"short":                resum(begin[:len(begin)-1]),
		"a space":              " " + good,
		"a line":               good + "\n",
		"another alphabet":     resum(strings.ToLower(begin)),
	} {
		_, ok := parse(text)
		require.False(t, ok, name)
	}
}
