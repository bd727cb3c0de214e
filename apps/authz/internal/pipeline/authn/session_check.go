package authn

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// sessionConfig is what cookie_session and bearer_token have in common.
type sessionConfig struct {
	CheckSessionURL    string            `json:"check_session_url"`
	PreservePath       bool              `json:"preserve_path"`
	PreserveQuery      bool              `json:"preserve_query"`
	PreserveHost       bool              `json:"preserve_host"`
	ForceMethod        string            `json:"force_method"`
	ForwardHTTPHeaders []string          `json:"forward_http_headers"`
	AdditionalHeaders  map[string]string `json:"additional_headers"`
	ExtraFrom          string            `json:"extra_from"`
	SubjectFrom        string            `json:"subject_from"`
}

// sessionCheck asks a session store who the caller is.
type sessionCheck struct {
	config      sessionConfig
	fingerprint string
	url         *url.URL
	client      *upstream.Client
	answers     *cache.Lookup[*pipeline.Known]
	now         func() time.Time
}

// newSessionCheck always forwards the header that the handler's credentials come in.
func newSessionCheck(handler string, c sessionConfig, credentials, fingerprint string, deps Deps) (*sessionCheck, error) {
	location, err := httpURL("check_session_url", c.CheckSessionURL)
	if err != nil {
		return nil, err
	}
	if !c.PreservePath {
		deps.Warn("%s: without preserve_path the caller chooses the path that is asked at %s", handler, upstream.Origin(location))
	}
	warnUnwatched(handler, location, deps)
	c.ExtraFrom = cmp.Or(c.ExtraFrom, "extra")
	c.ForwardHTTPHeaders = append(slices.Clone(c.ForwardHTTPHeaders), credentials)
	return &sessionCheck{
		config: c, fingerprint: fingerprint, url: location,
		client: deps.Upstream, answers: deps.Caches.sessions, now: deps.Now,
	}, nil
}

func (c *sessionCheck) authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	q, err := c.question(r)
	if err != nil {
		return err
	}
	found, err := c.answers.Do(ctx, c.key(q), func(ctx context.Context) (*pipeline.Known, time.Duration, error) { return c.ask(ctx, q) })
	if err != nil {
		return err
	}
	found.Introduce(s)
	return nil
}

// question is everything of a request that reaches the session store. It is both what is sent and what the
// answer is kept under, so nothing can be sent that the key does not know.
type question struct {
	method, path, query, host string
	header                    http.Header
}

func (c *sessionCheck) question(r *pipeline.Request) (question, error) {
	q := question{method: c.config.ForceMethod, header: http.Header{}}
	if q.method == "" {
		q.method = r.Method
	}
	if !c.config.PreservePath {
		q.path = r.Path
	}
	if !c.config.PreserveQuery {
		q.query = r.Query
	}
	if c.config.PreserveHost {
		q.host = r.Host
	}
	for _, name := range c.config.ForwardHTTPHeaders {
		values := r.Header.Values(name)
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) { // net/http would not send it, which looks like an outage
				return q, pipeline.Invalid("the %s header holds control characters", name)
			}
		}
		if len(values) > 0 {
			q.header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return q, nil
}

func (c *sessionCheck) key(q question) cache.Key {
	parts := []string{c.fingerprint, q.method, q.path, q.query, q.host}
	for _, name := range c.config.ForwardHTTPHeaders {
		values := q.header.Values(name)
		parts = append(parts, strconv.Itoa(len(values)))
		parts = append(parts, values...)
	}
	return cache.KeyOf(parts...)
}

func (c *sessionCheck) ask(ctx context.Context, q question) (none *pipeline.Known, holds time.Duration, err error) {
	request, err := c.request(ctx, q)
	if err != nil {
		return none, 0, err
	}
	answer, err := c.client.Do(ctx, request)
	if err != nil {
		return none, 0, err
	}
	if answer.Status != http.StatusOK {
		return c.refused(ctx, request, answer)
	}
	if !gjson.ValidBytes(answer.Body) {
		return none, 0, c.client.Unusable(request, "the session is not JSON")
	}
	if ended(answer.Body) {
		return none, 0, pipeline.Unauthenticated("the session is not active")
	}
	found, err := c.read(answer.Body)
	if err != nil {
		return none, 0, err
	}
	holds = c.holds(answer)
	if c.answers.Keeps(holds) {
		found.Keep()
	}
	return found, holds, nil
}

func (c *sessionCheck) request(ctx context.Context, q question) (*http.Request, error) {
	location := *c.url
	if !c.config.PreservePath {
		path, err := url.PathUnescape(q.path)
		if err != nil {
			return nil, pipeline.Invalid("the path is not well encoded")
		}
		location.Path, location.RawPath = path, q.path
	}
	if !c.config.PreserveQuery {
		location.RawQuery = q.query
	}
	request, err := http.NewRequestWithContext(ctx, q.method, location.String(), nil)
	if err != nil {
		return nil, pipeline.Invalid("the request cannot be forwarded to the session store")
	}
	request.Header = q.header.Clone()
	for name, value := range c.config.AdditionalHeaders {
		request.Header.Set(name, value)
	}
	if c.config.PreserveHost {
		request.Header.Set("X-Forwarded-Host", q.host)
	}
	return request, nil
}

// refused tells a refusal from an outage. Only a plain "no such session" of a server that is then ready may be
// kept: a missing second factor is made good with the same cookie.
func (c *sessionCheck) refused(ctx context.Context, request *http.Request, answer *upstream.Response) (none *pipeline.Known, holds time.Duration, err error) {
	switch answer.Status {
	case http.StatusTooManyRequests:
		return none, 0, pipeline.RateLimited(answer.Header, "the session store limits its rate")
	case http.StatusForbidden:
		if gjson.GetBytes(answer.Body, "error.id").Str == "session_aal2_required" {
			return none, 0, stepUp()
		}
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusGone:
	default: // a 405 or 407 is about how we asked, a 408 or 503 about the store: neither says who the caller is
		return none, 0, c.client.Unusable(request, "the session check answered %d", answer.Status)
	}
	if err := c.client.ConfirmNegative(ctx, request.URL); err != nil {
		return none, 0, err
	}
	return none, cache.Unbounded, pipeline.Unauthenticated("the session check answered %d", answer.Status)
}

// holds is how long the store itself lets an answer be kept: Kratos says so in a header, in seconds, and the
// session says when it ends. What cannot be read is not kept.
func (c *sessionCheck) holds(answer *upstream.Response) time.Duration {
	holds := cache.Unbounded
	if len(answer.Body) > maxKept {
		return 0
	}
	if limit := answer.Header.Get("Ory-Session-Cache-For"); limit != "" {
		seconds, err := strconv.ParseUint(limit, 10, 31)
		if err != nil {
			return 0
		}
		holds = time.Duration(seconds) * time.Second // #nosec G115 -- at most 31 bits
	}
	if end := gjson.GetBytes(answer.Body, "expires_at"); end.Exists() && end.Type != gjson.Null {
		at, err := time.Parse(time.RFC3339, end.Str)
		if err != nil {
			return 0
		}
		holds = min(holds, at.Sub(c.now()))
	}
	return holds
}

// ended tells that the store describes a session that is over, or one of a person who is switched off.
// Kratos answers 401 for both; a store or a cache before it that does not must not let them in.
func ended(body []byte) bool {
	return gjson.GetBytes(body, "active").Type == gjson.False || gjson.GetBytes(body, "identity.state").Str == "inactive"
}

// stepUp is for a good session whose person has a second factor and has not used it. Kratos says so
// with 403; a 401 would send the person to a login page that finds them logged in.
func stepUp() *pipeline.Denial {
	return &pipeline.Denial{
		Status: http.StatusForbidden, Code: pipeline.CodeStepUp,
		Detail: "Complete the second factor to continue.",
		Reason: "the session lacks the second factor",
	}
}

// read takes out of the answer what this configuration asks for.
func (c *sessionCheck) read(body []byte) (*pipeline.Known, error) {
	found := &pipeline.Known{Credential: sessionCredential(body)}
	if err := decodeAt(body, c.config.SubjectFrom, &found.Subject); err != nil {
		return nil, pipeline.Forbidden("subject_from %q is not a string", c.config.SubjectFrom)
	}
	if err := decodeAt(body, c.config.ExtraFrom, &found.Extra); err != nil {
		return nil, pipeline.Forbidden("extra_from %q is not an object", c.config.ExtraFrom)
	}
	return found, nil
}

// sessionCredential reads Kratos' names, whatever of the answer the rule takes into Extra. An API key's
// verifier answers with key_id.
func sessionCredential(body []byte) pipeline.Credential {
	c := pipeline.Credential{Session: gjson.GetBytes(body, "id").Str, Key: gjson.GetBytes(body, "key_id").Str}
	if issued, err := time.Parse(time.RFC3339, gjson.GetBytes(body, "issued_at").Str); err == nil {
		c.IssuedAt = issued
	}
	return c
}

// decodeAt leaves dst alone when there is nothing at path.
func decodeAt(body []byte, path string, dst any) error {
	raw := gjson.GetBytes(body, path).Raw
	if raw == "" {
		return nil
	}
	return json.Unmarshal([]byte(raw), dst)
}

func httpURL(key, value string) (*url.URL, error) {
	if value == "" {
		return nil, fmt.Errorf("%s: missing", key)
	}
	parsed, err := url.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%s: not a URL", key) // the parser's error would quote a password in it
	}
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return nil, errors.New(key + ": must be an http:// or https:// URL")
	}
	return parsed, nil
}

func warnUnwatched(handler string, location *url.URL, deps Deps) {
	if !deps.Upstream.Watches(location) {
		deps.Warn("%s: no readiness URL is set for %s, so its outage can look like a logout", handler, upstream.Origin(location))
	}
}
