// Package secrets makes the secrets of one stack on its first run and keeps them. Kratos and Hydra break
// when theirs change: sessions end, signing keys cannot be read. It must never print a value.
package secrets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// Secrets holds the values by name.
type Secrets map[string]string

// IdentityToken is the name of the private JWK Set that signs identity tokens: authz and Oathkeeper only.
const IdentityToken = "identity-token"

// bytes of randomness by name; a value is that in hexadecimal, twice as long.
var random = map[string]int{
	"kratos-default":     32,
	"kratos-cookie":      32,
	"kratos-cipher":      16, // exactly 32 characters
	"kratos-pagination":  32,
	"kratos-webhook":     32, // Kratos and the API
	"hydra-system":       32,
	"hydra-cookie":       32,
	"hydra-pagination":   32,
	"hydra-webhook":      32, // Hydra and the API
	"keto-pagination":    32,
	"api-internal":       32,
	"api-keys":           32, // the gates and the API
	"api-consent-csrf":   32,
	"postgres":           24,
	"db-kratos":          24,
	"db-hydra":           24,
	"db-keto":            24,
	"db-gatehouse_owner": 24,
	"db-gatehouse_api":   24,
}

// Ensure reads the secrets in file and adds those that are missing. The file is readable by its owner only.
func Ensure(file string) (Secrets, error) {
	all, err := read(file)
	if err != nil {
		return nil, err
	}
	added := false
	for name, size := range random {
		if all[name] == "" {
			all[name] = hex.EncodeToString(randomBytes(size))
			added = true
		}
	}
	if all[IdentityToken] == "" {
		if all[IdentityToken], err = signingKey(); err != nil {
			return nil, err
		}
		added = true
	}
	if !added {
		return all, nil
	}
	return all, write(file, all)
}

// Get returns the named secret.
func (s Secrets) Get(name string) (string, error) {
	value := s[name]
	if value == "" {
		return "", fmt.Errorf("there is no secret called %q", name)
	}
	return value, nil
}

func read(file string) (Secrets, error) {
	all := Secrets{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(text, &all) != nil {
		// Not the decoder's own words: they may quote the file.
		return nil, fmt.Errorf("%s is not the JSON object that was written here; restore it, or remove it together with the data", file)
	}
	return all, nil
}

// write replaces the file in one step: half a file would lose every secret.
func write(file string, all Secrets) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return b
}

func signingKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: key, KeyID: uuid.NewString(), Algorithm: string(jose.ES256), Use: "sig",
	}}}
	text, err := json.Marshal(set)
	return string(text), err
}
