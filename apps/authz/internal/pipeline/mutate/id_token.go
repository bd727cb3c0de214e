package mutate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/authz/internal/cache"
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
	tokens *cache.Cache[Token]
	now    func() time.Time
}

// Token is one that id_token signed.
type Token struct {
	signed string
	// reuse is until when it may be handed out again.
	reuse time.Time
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
	m := &idToken{issuer: c.IssuerURL, ttl: ttl, signer: signer, tokens: deps.Tokens, now: deps.Now}
	if c.Claims != "" {
		if m.claims, err = pipeline.NewTemplate("claims", c.Claims); err != nil {
			return nil, fmt.Errorf("claims: %w", err)
		}
		for _, action := range pipeline.Unescaped(c.Claims) {
			deps.Warn("id_token: claims: %s stands in quotes: a value that holds a quote can add claims; write {{ ... | toJson }} without quotes", action)
		}
	}
	return m, nil
}

func (m *idToken) Mutate(ctx context.Context, _ *pipeline.Request, s *pipeline.Session) error {
	rendered := "{}"
	if m.claims != nil {
		var err error
		if rendered, err = m.claims.Render(s); err != nil {
			return err
		}
	}
	// Everything that a token says, but for its times and its id.
	key := cache.KeyOf(rendered, s.Subject, m.issuer, m.ttl.String(), m.signer.Identity())
	token, kept := m.tokens.Get(key)
	cache.Note(ctx, kept)
	if !kept {
		// As in Oathkeeper, a token with less than a tenth of its time left is not handed out.
		reuse := m.ttl - m.ttl/10
		now := m.now().UTC()
		signed, err := m.mint(rendered, s.Subject, now)
		if err != nil {
			return err
		}
		token = Token{signed: signed, reuse: now.Add(reuse)}
		m.tokens.Set(key, token, reuse)
	}
	s.Header.Set("Authorization", "Bearer "+token.signed)
	pipeline.GoodUntil(s, token.reuse)
	return nil
}

// Repeatable is no when each request gets a token of its own.
func (m *idToken) Repeatable() bool {
	return m.tokens != nil && (m.claims == nil || m.claims.Repeatable())
}

func (m *idToken) mint(rendered, subject string, now time.Time) (string, error) {
	claims, err := object(rendered)
	if err != nil {
		return "", pipeline.RuleError("id_token: claims: %v", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	claims["exp"] = now.Add(m.ttl).Unix()
	claims["iat"] = now.Unix()
	claims["nbf"] = now.Unix()
	claims["iss"] = m.issuer
	claims["jti"] = id.String()
	claims["sub"] = subject
	signed, err := m.signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("id_token: sign: %w", err)
	}
	return signed, nil
}
