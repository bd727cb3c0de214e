package mutate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
)

// idToken tells the upstream who is calling in a token signed by us, in place of the client's
// Authorization header.
type idToken struct {
	issuer string
	ttl    time.Duration
	claims *pipeline.Template // nil when the rule has none
	signer *keys.Signer
	now    func() time.Time
}

func newIDToken(config map[string]any, deps Deps) (Mutator, error) {
	c := struct {
		IssuerURL string `json:"issuer_url"`
		JWKSURL   string `json:"jwks_url"`
		TTL       string `json:"ttl"`
		Claims    string `json:"claims"`
	}{TTL: "15m"}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if c.IssuerURL == "" {
		return nil, errors.New("issuer_url: missing")
	}
	ttl, err := time.ParseDuration(c.TTL)
	if err != nil || ttl <= 0 {
		return nil, fmt.Errorf("ttl: %q is not a positive duration", c.TTL)
	}
	signer, err := deps.Signer(c.JWKSURL)
	if err != nil {
		return nil, fmt.Errorf("jwks_url: %w", err)
	}
	if !strings.Contains(c.Claims, `"aud"`) {
		deps.Warn("id_token: the claims name no aud, so one backend's token is good at another")
	}
	m := &idToken{issuer: c.IssuerURL, ttl: ttl, signer: signer, now: deps.Now}
	if c.Claims != "" {
		if m.claims, err = pipeline.NewTemplate("claims", c.Claims); err != nil {
			return nil, fmt.Errorf("claims: %w", err)
		}
		for _, action := range unescaped(c.Claims) {
			deps.Warn("id_token: claims: %s stands in quotes: a value that holds a quote can add claims; write {{ ... | toJson }} without quotes", action)
		}
	}
	return m, nil
}

func (m *idToken) Mutate(_ context.Context, _ *pipeline.Request, s *pipeline.Session) error {
	claims := jwt.MapClaims{}
	if m.claims != nil {
		text, err := m.claims.Render(s)
		if err != nil {
			return err
		}
		if claims, err = object(text); err != nil {
			return pipeline.RuleError("id_token: claims: %v", err)
		}
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	now := m.now().UTC()
	claims["exp"] = now.Add(m.ttl).Unix()
	claims["iat"] = now.Unix()
	claims["nbf"] = now.Unix()
	claims["iss"] = m.issuer
	claims["jti"] = id.String()
	claims["sub"] = s.Subject
	signed, err := m.signer.Sign(claims)
	if err != nil {
		return fmt.Errorf("id_token: sign: %w", err)
	}
	s.Header.Set("Authorization", "Bearer "+signed)
	return nil
}
