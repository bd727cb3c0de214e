package authn

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// introspection asks the authorization server about a token (RFC 7662).
type introspection struct {
	config introspectionConfig
	scopes scopeStrategy
	client *upstream.Client
	now    func() time.Time
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
	PreAuthorization            struct {
		Enabled bool `json:"enabled"`

		ClientID     string   `json:"client_id"`
		ClientSecret string   `json:"client_secret"`
		TokenURL     string   `json:"token_url"`
		Audience     string   `json:"audience"`
		Scope        []string `json:"scope"`
	} `json:"pre_authorization"`

	// Oathkeeper's; every token is asked about once and answers are not kept, so they change nothing.
	Retry any `json:"retry"`
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
	if c.PreAuthorization.Enabled {
		return nil, errors.New("pre_authorization is not supported")
	}
	scopes, err := newScopeStrategy(c.ScopeStrategy)
	if err != nil {
		return nil, err
	}
	if len(c.TargetAudience) == 0 {
		deps.Warn("oauth2_introspection: without target_audience a token for somebody else is accepted")
	}
	warnUnwatched("oauth2_introspection", location, deps)
	return &introspection{config: c, scopes: scopes, client: deps.Upstream, now: deps.Now}, nil
}

// introspected is the answer's part that decides.
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
	question, err := a.question(ctx, r, token)
	if err != nil {
		return err
	}
	answer, err := a.client.Do(ctx, question)
	if err != nil {
		return err
	}
	switch answer.Status {
	case http.StatusOK:
	case http.StatusTooManyRequests:
		return pipeline.RateLimited(answer.Header, "the introspection endpoint limits its rate")
	default: // also 401: it is we who were refused, not the caller
		return a.client.Unusable(question, "introspection answered %d", answer.Status)
	}
	var result introspected
	if err := json.Unmarshal(answer.Body, &result); err != nil {
		return a.client.Unusable(question, "introspection is not JSON of the expected form")
	}
	if !result.Active {
		if err := a.client.ConfirmNegative(ctx, question.URL); err != nil {
			return err
		}
	}
	if err := a.check(result); err != nil {
		return err
	}
	s.Subject, s.Extra = result.Subject, result.extra()
	return nil
}

func (a *introspection) question(ctx context.Context, r *pipeline.Request, token string) (*http.Request, error) {
	form := url.Values{"token": {token}}
	if a.scopes == nil && len(a.config.RequiredScope) > 0 {
		// Without a strategy of ours the server is asked to check the scopes, as Oathkeeper does.
		form.Set("scope", strings.Join(a.config.RequiredScope, " "))
	}
	question, err := http.NewRequestWithContext(ctx, http.MethodPost, a.config.IntrospectionURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	for name, value := range a.config.IntrospectionRequestHeaders {
		question.Header.Set(name, value)
	}
	question.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a.config.PreserveHost {
		question.Header.Set("X-Forwarded-Host", r.Host)
	}
	return question, nil
}

// check applies the rule to the answer. It is apart from the question so that an answer that was
// kept would be judged anew by every rule (CVE-2021-32701).
func (a *introspection) check(result introspected) error {
	if result.TokenUse != "" && result.TokenUse != "access_token" {
		return pipeline.Unauthenticated("the token is not an access token")
	}
	if !result.Active {
		return pipeline.Unauthenticated("the token is not active")
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

// extra has the shape that Oathkeeper's templates expect: ext flattened, the known fields over it.
func (i introspected) extra() map[string]any {
	extra := i.Ext
	if extra == nil {
		extra = map[string]any{}
	}
	extra["username"] = i.Username
	extra["client_id"] = i.ClientID
	extra["scope"] = i.Scope
	if len(i.Audience) > 0 {
		extra["aud"] = []string(i.Audience)
	}
	return extra
}
