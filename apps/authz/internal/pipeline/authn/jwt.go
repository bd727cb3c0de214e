package authn

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
)

// jwtAuthenticator checks a signed token against its issuers' published keys.
type jwtAuthenticator struct {
	config      jwtConfig
	fingerprint string
	scopes      scopeStrategy
	policy      keys.Policy
	keys        *keys.Store
	parser      *jwt.Parser
	validator   *jwt.Validator
	tokens      *cache.Cache[verified]
	now         func() time.Time
}

// verified is a token whose signature was good. It is shared between requests.
type verified struct {
	known   *pipeline.Known
	refused error                // what the rule says of its claims
	times   jwt.RegisteredClaims // nothing but the times, which are looked at for every request
	// by are the published keys that it was checked with. It is good as long as they stay published.
	by  []jwt.VerificationKey
	kid string
	alg string
}

type jwtConfig struct {
	JWKSURLs          []string   `json:"jwks_urls"`
	JWKSTTL           string     `json:"jwks_ttl"`
	JWKSMaxWait       string     `json:"jwks_max_wait"`
	AllowedAlgorithms []string   `json:"allowed_algorithms"`
	TokenFrom         *tokenFrom `json:"token_from"`
	ScopeStrategy     string     `json:"scope_strategy"`
	RequiredScope     []string   `json:"required_scope"`
	TargetAudience    []string   `json:"target_audience"`
	TrustedIssuers    []string   `json:"trusted_issuers"`
}

func newJWT(config map[string]any, deps Deps) (Authenticator, error) {
	c := jwtConfig{JWKSTTL: keys.DefaultTTL.String(), JWKSMaxWait: keys.DefaultMaxWait.String()}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if len(c.AllowedAlgorithms) == 0 {
		c.AllowedAlgorithms = []string{"RS256"}
	}
	policy, scopes, err := c.verify()
	if err != nil {
		return nil, err
	}
	if len(c.TargetAudience) == 0 {
		deps.Warn("jwt: without target_audience an ID token, or a token for somebody else, is accepted as an access token")
	}
	if len(c.JWKSURLs) > 1 && len(c.TrustedIssuers) != 1 {
		deps.Warn("jwt: any of the %d jwks_urls can sign for any issuer; write one handler per issuer", len(c.JWKSURLs))
	}
	times := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(deps.Now)}
	return &jwtAuthenticator{
		config:      c,
		fingerprint: fingerprint("jwt", config),
		scopes:      scopes,
		policy:      policy,
		keys:        deps.Keys,
		parser:      jwt.NewParser(append(times, jwt.WithValidMethods(c.AllowedAlgorithms))...),
		validator:   jwt.NewValidator(times...),
		tokens:      deps.Caches.tokens,
		now:         deps.Now,
	}, nil
}

func (c *jwtConfig) verify() (keys.Policy, scopeStrategy, error) {
	var policy keys.Policy
	var problems []error
	if len(c.JWKSURLs) == 0 {
		problems = append(problems, errors.New("jwks_urls: missing"))
	}
	for _, location := range c.JWKSURLs {
		if strings.HasPrefix(location, "file://") {
			continue
		}
		if _, err := httpURL("jwks_urls", location); err != nil {
			problems = append(problems, err)
		}
	}
	for _, algorithm := range c.AllowedAlgorithms {
		if !slices.Contains(keys.Algorithms, algorithm) {
			problems = append(problems, fmt.Errorf("allowed_algorithms: %q is not supported", algorithm))
		}
	}
	var err error
	if policy.TTL, err = time.ParseDuration(c.JWKSTTL); err != nil {
		problems = append(problems, fmt.Errorf("jwks_ttl: %w", err))
	}
	if policy.MaxWait, err = time.ParseDuration(c.JWKSMaxWait); err != nil {
		problems = append(problems, fmt.Errorf("jwks_max_wait: %w", err))
	}
	scopes, err := newScopeStrategy(c.ScopeStrategy)
	problems = append(problems, err, c.TokenFrom.verify())
	if scopes == nil && len(c.RequiredScope) > 0 {
		problems = append(problems, errors.New("required_scope needs a scope_strategy other than none"))
	}
	return policy, scopes, errors.Join(problems...)
}

// Warm begins to fetch the key sets, so that the first request finds them there.
func (a *jwtAuthenticator) Warm() {
	for _, location := range a.config.JWKSURLs {
		a.keys.Warm(location)
	}
}

func (a *jwtAuthenticator) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	token := a.config.TokenFrom.token(r)
	if strings.Count(token, ".") != 2 {
		return pipeline.ErrNotResponsible // an opaque token, for another authenticator
	}
	found, err := a.verified(ctx, token)
	var outage *keysOutage
	if errors.As(err, &outage) {
		return outage.cause
	}
	if err != nil {
		return pipeline.Unauthenticated("%s", reason(err))
	}
	if found.refused != nil {
		return found.refused
	}
	found.known.Introduce(s)
	return nil
}

func jwtCredential(token string, claims jwt.MapClaims) pipeline.Credential {
	c := pipeline.Credential{Offline: true}
	c.Session, _ = claims["sid"].(string)
	c.Client, _ = claims["client_id"].(string)
	if c.Token, _ = claims["jti"].(string); c.Token == "" {
		// Only what is signed: a signature can be written in more than one way.
		c.Token = pipeline.TokenHash(token[:strings.LastIndexByte(token, '.')])
	}
	if issued, err := claims.GetIssuedAt(); err == nil && issued != nil {
		c.IssuedAt = issued.Time
	}
	return c
}

// keysOutage carries an error of the key store through the parser, which reports any error of its
// key function as a bad token.
type keysOutage struct{ cause error }

func (k *keysOutage) Error() string { return k.cause.Error() }

// verified returns a token that is good now. One that was verified before is not verified again, but its times
// are looked at, and whether its keys are still published.
func (a *jwtAuthenticator) verified(ctx context.Context, token string) (verified, error) {
	key := cache.KeyOf(a.fingerprint, token)
	found, kept := a.tokens.Get(key)
	cache.Note(ctx, kept)
	if kept {
		by, err := a.candidates(ctx, found.kid, found.alg)
		if err != nil {
			return verified{}, err
		}
		if slices.EqualFunc(found.by, by, sameKey) {
			return found, a.validator.Validate(&found.times)
		}
	}
	found = verified{}
	claims := jwt.MapClaims{}
	_, err := a.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errors.New("crit is not supported") // RFC 7515: what must be understood and is not
		}
		found.kid, _ = t.Header["kid"].(string)
		found.alg = t.Method.Alg()
		var err error
		found.by, err = a.candidates(ctx, found.kid, found.alg)
		return jwt.VerificationKeySet{Keys: found.by}, err
	})
	if err != nil {
		return verified{}, err
	}
	if found.times, err = timesOf(claims); err != nil {
		return verified{}, err
	}
	found.refused = a.check(claims)
	subject, _ := claims["sub"].(string)
	found.known = &pipeline.Known{Subject: subject, Extra: claims, Credential: jwtCredential(token, claims)}
	if a.tokens != nil {
		found.known.Keep()
	}
	a.tokens.Set(key, found, found.times.ExpiresAt.Sub(a.now()))
	return found, nil
}

// timesOf reads the times once, so that looking at them again needs no decoding.
func timesOf(claims jwt.MapClaims) (times jwt.RegisteredClaims, err error) {
	var problems [3]error
	times.ExpiresAt, problems[0] = claims.GetExpirationTime()
	times.NotBefore, problems[1] = claims.GetNotBefore()
	times.IssuedAt, problems[2] = claims.GetIssuedAt()
	return times, errors.Join(problems[:]...)
}

// candidates are the published keys that may have signed a token with this header.
func (a *jwtAuthenticator) candidates(ctx context.Context, kid, alg string) ([]jwt.VerificationKey, error) {
	if kid == "" {
		return nil, errors.New("no kid")
	}
	published, err := a.keys.Find(ctx, a.config.JWKSURLs, kid, a.policy)
	if errors.Is(err, keys.ErrUnknownKey) {
		return nil, err
	}
	if err != nil {
		return nil, &keysOutage{err}
	}
	var out []jwt.VerificationKey
	for _, key := range published {
		if key.Algorithm == "" || key.Algorithm == alg {
			out = append(out, key.Key)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the key is for another algorithm")
	}
	return out, nil
}

// sameKey compares key material: a set that is fetched again holds the same keys in new places.
func sameKey(a, b jwt.VerificationKey) bool {
	key, comparable := a.(interface{ Equal(crypto.PublicKey) bool })
	return comparable && key.Equal(b)
}

// check applies the rule to verified claims. It leaves the scopes as the list claim "scp", which is
// the shape that Oathkeeper's templates expect.
func (a *jwtAuthenticator) check(claims jwt.MapClaims) error {
	tokenAudience, err := claims.GetAudience()
	if err != nil {
		return pipeline.Unauthenticated("aud is malformed")
	}
	for _, wanted := range a.config.TargetAudience {
		if !slices.Contains(tokenAudience, wanted) {
			return pipeline.Unauthenticated("the token is not for audience %q", wanted)
		}
	}
	issuer, _ := claims["iss"].(string)
	if len(a.config.TrustedIssuers) > 0 && !slices.Contains(a.config.TrustedIssuers, issuer) {
		return pipeline.Unauthenticated("the token's issuer is not trusted")
	}
	granted, key := grantedScopes(claims)
	delete(claims, key)
	claims["scp"] = granted
	for _, scope := range a.config.RequiredScope {
		if !a.scopes(granted, scope) {
			return pipeline.Unauthenticated("scope %q was not granted", scope)
		}
	}
	return nil
}

func grantedScopes(claims jwt.MapClaims) (scopes []string, key string) {
	for _, key := range []string{"scp", "scope", "scopes"} {
		value, present := claims[key]
		if !present {
			continue
		}
		scopes := []string{}
		switch value := value.(type) {
		case string:
			scopes = strings.Fields(value)
		case []any:
			for _, item := range value {
				if text, isText := item.(string); isText {
					scopes = append(scopes, text)
				}
			}
		}
		return scopes, key
	}
	return []string{}, "scp"
}

// reason names what is wrong with a token without repeating any of it.
func reason(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{
		{keys.ErrUnknownKey, "the token's key is unknown"},
		{jwt.ErrTokenMalformed, "the token is malformed"},
		{jwt.ErrTokenExpired, "the token has expired"},
		{jwt.ErrTokenNotValidYet, "the token is not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "the token was issued in the future"},
		{jwt.ErrTokenRequiredClaimMissing, "the token has no exp"},
		{jwt.ErrTokenSignatureInvalid, "the token's signature or algorithm is not accepted"},
		{jwt.ErrTokenUnverifiable, "the token cannot be verified"},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	return "the token is not accepted"
}
