package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// introspection asks the authorization server about a token (RFC 7662).
type introspection struct {
	config      introspectionConfig
	fingerprint string
	scopes      scopeStrategy
	ours        *clientCredentials // nil when nobody asks for them
	client      *upstream.Client
	retry       *upstream.Retry
	answers     *cache.Lookup[introspected]
	now         func() time.Time
}

type introspectionConfig struct {
	IntrospectionURL            string            `json:"introspection_url"`
	IntrospectionRequestHeaders map[string]string `json:"introspection_request_headers"`
	TokenFrom                   *tokenFrom        `json:"token_from"`
	Prefix                      string            `json:"prefix"`
	ScopeStrategy               string            `json:"scope_strategy"`
	RequiredScope               []string          `json:"required_scope"`
	TargetAudience              []string          `json:"target_audience"`
	TrustedIssuers              []string          `json:"trusted_issuers"`
	PreserveHost                bool              `json:"preserve_host"`
	PreAuthorization            preAuthorization  `json:"pre_authorization"`

	Retry *upstream.RetryConfig `json:"retry"`

	// Cache is Oathkeeper's and changes nothing: how long an answer is kept is this service's own setting.
	Cache any `json:"cache"`
}

func newIntrospection(config map[string]any, deps Deps) (Authenticator, error) {
	var c introspectionConfig
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	location, err := httpURL("introspection_url", c.IntrospectionURL)
	if err != nil {
		return nil, err
	}
	if err := c.TokenFrom.verify(); err != nil {
		return nil, err
	}
	hash := fingerprint("oauth2_introspection", config)
	ours, err := newClientCredentials(c.PreAuthorization, hash, deps)
	if err != nil {
		return nil, fmt.Errorf("pre_authorization: %w", err)
	}
	scopes, err := newScopeStrategy(c.ScopeStrategy)
	if err != nil {
		return nil, err
	}
	retry, err := c.Retry.Parse()
	if err != nil {
		return nil, err
	}
	if len(c.TargetAudience) == 0 {
		deps.Warn("oauth2_introspection: without target_audience a token for somebody else is accepted")
	}
	warnUnwatched("oauth2_introspection", location, deps)
	return &introspection{
		config: c, fingerprint: hash, scopes: scopes, ours: ours,
		client: deps.Upstream, retry: retry, answers: deps.Caches.introspections, now: deps.Now,
	}, nil
}

// introspected is the answer's part that decides. It is shared between requests.
type introspected struct {
	Active   bool           `json:"active"`
	TokenUse string         `json:"token_use"`
	Subject  string         `json:"sub"`
	Username string         `json:"username"`
	ClientID string         `json:"client_id"`
	Issuer   string         `json:"iss"`
	Scope    string         `json:"scope"`
	Audience audience       `json:"aud"`
	Expires  int64          `json:"exp"`
	Issued   any            `json:"iat"` // any: no rule asks for these two, so a server that
	TokenID  any            `json:"jti"` // writes them oddly still answers
	Ext      map[string]any `json:"ext"`
}

// audience is a list that may be written as one string.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		if one != "" {
			*a = audience{one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

func (a *introspection) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	token := a.config.TokenFrom.token(r)
	if token == "" || !strings.HasPrefix(token, a.config.Prefix) {
		return pipeline.ErrNotResponsible
	}
	q := a.question(r, token)
	result, err := a.answers.Do(ctx, q.key(a.fingerprint), func(ctx context.Context) (introspected, time.Duration, error) { return a.ask(ctx, q) })
	if err != nil {
		return err
	}
	if err := a.check(result); err != nil {
		return err
	}
	s.Subject, s.Extra, s.Credential = result.Subject, result.extra(), result.credential(token)
	return nil
}

// introspectionQuestion is everything of a request that reaches the server. It is both what is sent and what
// the answer is kept under.
type introspectionQuestion struct{ token, host string }

func (a *introspection) question(r *pipeline.Request, token string) introspectionQuestion {
	q := introspectionQuestion{token: token}
	if a.config.PreserveHost {
		q.host = r.Host
	}
	return q
}

// The fingerprint holds the server's URL: the same token at another server is another question (CVE-2026-33496).
func (q introspectionQuestion) key(fingerprint string) cache.Key {
	return cache.KeyOf(fingerprint, q.token, q.host)
}

func (a *introspection) ask(ctx context.Context, q introspectionQuestion) (result introspected, holds time.Duration, err error) {
	request, err := a.request(ctx, q)
	if err != nil {
		return result, 0, err
	}
	if err := a.ours.authorize(request); err != nil {
		return result, 0, err
	}
	answer, err := a.client.DoAgain(ctx, request, a.retry)
	if err != nil {
		return result, 0, err
	}
	switch answer.Status {
	case http.StatusOK:
	case http.StatusTooManyRequests:
		return result, 0, pipeline.RateLimited(answer.Header, "the introspection endpoint limits its rate")
	default: // also 401: it is we who were refused, not the caller
		return result, 0, a.client.Unusable(request, "introspection answered %d", answer.Status)
	}
	if err := json.Unmarshal(answer.Body, &result); err != nil {
		return result, 0, a.client.Unusable(request, "introspection is not JSON of the expected form")
	}
	if !result.Active {
		if err := a.client.ConfirmNegative(ctx, request.URL); err != nil {
			return result, 0, err
		}
		return result, cache.Unbounded, pipeline.Unauthenticated("the token is not active")
	}
	return result, a.holds(result, len(answer.Body)), nil
}

// holds is until the token expires.
func (a *introspection) holds(result introspected, size int) time.Duration {
	switch {
	case size > maxKept:
		return 0
	case result.Expires > 0:
		return time.Unix(result.Expires, 0).Sub(a.now())
	default:
		return cache.Unbounded
	}
}

func (a *introspection) request(ctx context.Context, q introspectionQuestion) (*http.Request, error) {
	form := url.Values{"token": {q.token}}
	if a.scopes == nil && len(a.config.RequiredScope) > 0 {
		// Without a strategy of ours the server is asked to check the scopes, as Oathkeeper does.
		form.Set("scope", strings.Join(a.config.RequiredScope, " "))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.config.IntrospectionURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	for name, value := range a.config.IntrospectionRequestHeaders {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a.config.PreserveHost {
		request.Header.Set("X-Forwarded-Host", q.host)
	}
	return request, nil
}

// check applies the rule to the answer, to one that was kept as to a new one (CVE-2021-32701).
func (a *introspection) check(result introspected) error {
	if result.TokenUse != "" && result.TokenUse != "access_token" {
		return pipeline.Unauthenticated("the token is not an access token")
	}
	if result.Expires > 0 && !a.now().Before(time.Unix(result.Expires, 0)) {
		return pipeline.Unauthenticated("the token has expired")
	}
	for _, wanted := range a.config.TargetAudience {
		if !slices.Contains(result.Audience, wanted) {
			return pipeline.Unauthenticated("the token is not for audience %q", wanted)
		}
	}
	if len(a.config.TrustedIssuers) > 0 && !slices.Contains(a.config.TrustedIssuers, result.Issuer) {
		return pipeline.Unauthenticated("the token's issuer is not trusted")
	}
	if a.scopes != nil {
		granted := strings.Split(result.Scope, " ")
		for _, scope := range a.config.RequiredScope {
			if !a.scopes(granted, scope) {
				return pipeline.Forbidden("scope %q was not granted", scope)
			}
		}
	}
	return nil
}

func (i introspected) credential(token string) pipeline.Credential {
	c := pipeline.Credential{Client: i.ClientID}
	if c.Token, _ = i.TokenID.(string); c.Token == "" {
		c.Token = pipeline.TokenHash(token)
	}
	if issued, isNumber := i.Issued.(float64); isNumber && issued > 0 {
		c.IssuedAt = time.Unix(int64(issued), 0)
	}
	return c
}

// extra has the shape that Oathkeeper's templates expect: ext flattened, the known fields over it.
func (i introspected) extra() map[string]any {
	extra := clone(i.Ext)
	if extra == nil {
		extra = map[string]any{}
	}
	extra["username"] = i.Username
	extra["client_id"] = i.ClientID
	extra["scope"] = i.Scope
	if len(i.Audience) > 0 {
		extra["aud"] = slices.Clone([]string(i.Audience))
	}
	return extra
}
