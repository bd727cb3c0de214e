package authn

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/upstream"
)

// preAuthorization is how to get a token of our own, for servers that tell about tokens only to those who show
// one.
type preAuthorization struct {
	Enabled bool `json:"enabled"`

	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	TokenURL     string   `json:"token_url"`
	Audience     string   `json:"audience"`
	Scope        []string `json:"scope"`
}

// clientCredentials gets that token with the grant of RFC 6749, section 4.4.
type clientCredentials struct {
	config preAuthorization
	key    cache.Key
	client *upstream.Client
	tokens *cache.Lookup[string]
}

// newClientCredentials returns nil if there is nothing to get.
func newClientCredentials(c preAuthorization, fingerprint string, deps Deps) (*clientCredentials, error) {
	if !c.Enabled {
		return nil, nil
	}
	var problems []error
	if c.ClientID == "" || c.ClientSecret == "" {
		problems = append(problems, errors.New("client_id and client_secret: both are needed"))
	}
	_, err := httpURL("token_url", c.TokenURL)
	return &clientCredentials{
		config: c, key: cache.KeyOf("client_credentials", fingerprint),
		client: deps.Upstream, tokens: deps.Caches.grants,
	}, errors.Join(append(problems, err)...)
}

// authorize adds our token to a request.
func (c *clientCredentials) authorize(r *http.Request) error {
	if c == nil {
		return nil
	}
	token, err := c.tokens.Do(r.Context(), c.key, c.ask)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

func (c *clientCredentials) ask(ctx context.Context) (token string, holds time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(c.config.Scope) > 0 {
		form.Set("scope", strings.Join(c.config.Scope, " "))
	}
	if c.config.Audience != "" {
		form.Set("audience", c.config.Audience)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(c.config.ClientSecret)) // encoded: section 2.3.1
	answer, err := c.client.Do(ctx, request)
	if err != nil {
		return "", 0, err
	}
	if answer.Status != http.StatusOK {
		return "", 0, c.client.Unusable(request, "the token endpoint answered %d", answer.Status)
	}
	var granted struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(answer.Body, &granted); err != nil || granted.AccessToken == "" || !httpguts.ValidHeaderFieldValue(granted.AccessToken) {
		return "", 0, c.client.Unusable(request, "the token endpoint's answer holds no token")
	}
	if granted.ExpiresIn <= 0 {
		return granted.AccessToken, cache.Unbounded, nil
	}
	// A tenth less, so that it does not expire on its way; capped, because so many seconds may not fit.
	return granted.AccessToken, time.Duration(min(granted.ExpiresIn, 1<<31)) * time.Second / 10 * 9, nil
}
