package converge_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/permission"
)

func TestTokenSaysWhatWasEncoded(t *testing.T) {
	marks := []converge.Mark{
		{Object: permission.PlatformObject, Version: 1},
		{Object: permission.Of(permission.Organization, uuid.New()), Version: 127},
		{Object: permission.Of(permission.Gateway, uuid.New()), Version: 128},
		{Object: permission.Of(permission.Product, uuid.New()), Version: 1 << 62},
	}
	token := converge.Encode(marks)
	require.NotContains(t, token, "=")
	decoded, err := converge.Decode(token)
	require.NoError(t, err)
	require.Equal(t, marks, decoded)
}

func TestTokenIsBounded(t *testing.T) {
	var many []converge.Mark
	for range converge.MaxMarks + 10 {
		many = append(many, converge.Mark{Object: permission.Of(permission.Gateway, uuid.New()), Version: 1 << 40})
	}
	decoded, err := converge.Decode(converge.Encode(many))
	require.NoError(t, err)
	require.Equal(t, many[:converge.MaxMarks], decoded)
	_, err = converge.Decode(strings.Repeat("A", 100_000))
	require.ErrorIs(t, err, converge.ErrToken)
}

func encoded(parts ...[]byte) string {
	return base64.RawURLEncoding.EncodeToString(slices.Concat(parts...))
}

func TestTokensOfOthersAreRefused(t *testing.T) {
	id := make([]byte, 16)
	good := converge.Encode([]converge.Mark{{Object: permission.Of(permission.Gateway, uuid.New()), Version: 3}})
	for name, token := range map[string]string{
		"nothing":                  "",
		"not base64":               "%%%",
		"padded":                   good + "=",
		"with a line break":        good[:4] + "\n" + good[4:],
		"another version":          encoded([]byte{2, 0, 1}),
		"no mark":                  encoded([]byte{1}),
		"an unknown namespace":     encoded([]byte{1, 9}, id, []byte{1}),
		"half an id":               encoded([]byte{1, 2}, id[:9]),
		"no number":                encoded([]byte{1, 2}, id),
		"half a number":            encoded([]byte{1, 2}, id, []byte{0x80}),
		"zero":                     encoded([]byte{1, 0, 0}),
		"a longer spelling of one": encoded([]byte{1, 0, 0x81, 0x00}),
		"a negative number":        encoded([]byte{1, 0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}),
		"something behind":         encoded([]byte{1, 0, 1, 3}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := converge.Decode(token)
			require.ErrorIs(t, err, converge.ErrToken)
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(converge.Encode([]converge.Mark{{Object: permission.PlatformObject, Version: 1}}))
	f.Add(converge.Encode([]converge.Mark{{Object: permission.Of(permission.Product, uuid.New()), Version: 300}}))
	f.Fuzz(func(t *testing.T, token string) {
		marks, err := converge.Decode(token)
		if err == nil {
			require.Equal(t, token, converge.Encode(marks), "a token has one spelling")
		}
	})
}
