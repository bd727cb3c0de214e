package authn

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// checksumHolds tells whether the token ends in an underscore and eight lower-case hexadecimal digits that are
// the CRC-32 (IEEE) of all before that underscore. Anybody can make such a token: the check finds
// mistyped and cut off keys, and made-up ones of those who did not look, without asking anyone.
func checksumHolds(token string) bool {
	end := strings.LastIndexByte(token, '_')
	return end >= 0 && token[end+1:] == fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(token[:end])))
}

func hasPrefix(token string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(token, prefix) })
}
