package keys

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Signer signs our own tokens.
type Signer struct {
	key      jose.JSONWebKey
	method   jwt.SigningMethod
	public   []jose.JSONWebKey
	identity string
}

// Algorithms are those a token may be signed with, ours and others'. Symmetric ones are missing on
// purpose: whoever could check such a token could also make one.
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// NewSigner reads a private JSON Web Key Set, as `oathkeeper credentials generate` writes it. Of
// several private keys the last one signs, because Oathkeeper signs with the last; all are published.
func NewSigner(data []byte) (*Signer, error) {
	var document jose.JSONWebKeySet
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, errors.New("not a JSON Web Key Set") // the cause would quote the private key
	}
	var signer Signer
	for _, key := range document.Keys {
		if key.KeyID == "" || !slices.Contains(Algorithms, key.Algorithm) {
			return nil, fmt.Errorf("key %q: kid and an asymmetric alg are required", key.KeyID)
		}
		public := key
		if _, isPrivate := key.Key.(crypto.Signer); isPrivate {
			signer.key = key
			public = key.Public()
		}
		if !public.IsPublic() { // a secret of an "oct" key, which must not be published
			return nil, fmt.Errorf("key %q: not an asymmetric key", key.KeyID)
		}
		public.Use = "sig"
		signer.public = append(signer.public, public)
	}
	if signer.key.Key == nil {
		return nil, errors.New("no private key")
	}
	signer.method = jwt.GetSigningMethod(signer.key.Algorithm)
	if _, err := signer.Sign(jwt.MapClaims{}); err != nil {
		return nil, fmt.Errorf("key %q cannot sign %s", signer.key.KeyID, signer.key.Algorithm)
	}
	thumbprint, err := signer.key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("key %q: no thumbprint", signer.key.KeyID)
	}
	signer.identity = signer.key.Algorithm + "." + signer.key.KeyID + "." + string(thumbprint)
	return &signer, nil
}

// Identity tells the signing key from every other, also from one that is published under the same id. It is
// not for people to read.
func (s *Signer) Identity() string { return s.identity }

// Sign returns the compact form of a token with these claims.
func (s *Signer) Sign(claims jwt.MapClaims) (string, error) {
	token := jwt.NewWithClaims(s.method, claims)
	token.Header["kid"] = s.key.KeyID
	return token.SignedString(s.key.Key)
}

// Public returns the keys that check our tokens, never a private one.
func (s *Signer) Public() []jose.JSONWebKey { return s.public }
