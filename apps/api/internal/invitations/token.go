package invitations

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// token is what a mail carries and nothing keeps: 256 random bits. That many cannot be guessed, so one round of SHA-256 is
// enough to keep what is stored from opening anything.
type token string

func newToken() token {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return token(base64.RawURLEncoding.EncodeToString(raw))
}

func (t token) hash() []byte {
	sum := sha256.Sum256([]byte(t))
	return sum[:]
}

// String implements fmt.Stringer, so that no log line shows one by accident.
func (token) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (token) GoString() string { return "[redacted]" }
