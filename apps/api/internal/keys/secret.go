package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"

	"gatehouse.internal/api/internal/principal"
)

// shown is how many of the random characters are shown for telling keys apart, and find the row. The rest is the
// secret: 42 characters of base32, 210 bits.
const shown = 10

// secret is a key as its owner gets it: gh_<environment>_<52 random characters of base32>_<checksum>. The checksum is the
// CRC-32 (IEEE) of all before it, in eight lower-case hexadecimal digits: authz looks at it before it asks anyone
// (apps/authz/internal/pipeline/authn/checksum.go).
type secret struct {
	text string
	// prefix is what is shown of it.
	prefix string
}

var form = regexp.MustCompile(`^(gh_[a-z]{1,16}_[A-Z2-7]{10})[A-Z2-7]{42}_[0-9a-f]{8}$`)

func newSecret(environment string) secret {
	random := rand.Text() + rand.Text()
	begin := principal.KeyPrefix + environment + "_" + random
	return secret{text: begin + "_" + checksum(begin), prefix: strings.TrimSuffix(begin, random[shown:])}
}

// parse takes what could be a key, and finds mistyped ones without asking anyone.
func parse(text string) (secret, bool) {
	found := form.FindStringSubmatch(text)
	if found == nil {
		return secret{}, false
	}
	end := strings.LastIndexByte(text, '_')
	return secret{text: text, prefix: found[1]}, text[end+1:] == checksum(text[:end])
}

func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// hash is what is stored. A fast hash will do: nobody guesses 210 bits.
func (s secret) hash() []byte {
	sum := sha256.Sum256([]byte(s.text))
	return sum[:]
}
