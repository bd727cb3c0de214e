package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/tidwall/gjson"
	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// cookieSession asks a session store, such as Kratos, whose cookie this is.
type cookieSession struct {
	config cookieSessionConfig
	url    *url.URL
	client *upstream.Client
}

type cookieSessionConfig struct {
	CheckSessionURL    string            `json:"check_session_url"`
	Only               []string          `json:"only"`
	PreservePath       bool              `json:"preserve_path"`
	PreserveQuery      bool              `json:"preserve_query"`
	PreserveHost       bool              `json:"preserve_host"`
	ForceMethod        string            `json:"force_method"`
	ForwardHTTPHeaders []string          `json:"forward_http_headers"`
	AdditionalHeaders  map[string]string `json:"additional_headers"`
	ExtraFrom          string            `json:"extra_from"`
	SubjectFrom        string            `json:"subject_from"`
}

func newCookieSession(config map[string]any, deps Deps) (Authenticator, error) {
	c := cookieSessionConfig{PreserveQuery: true, ExtraFrom: "extra", SubjectFrom: "subject"}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	location, err := httpURL("check_session_url", c.CheckSessionURL)
	if err != nil {
		return nil, err
	}
	if !c.PreservePath {
		deps.Warn("cookie_session: without preserve_path the caller chooses the path that is asked at %s", upstream.Origin(location))
	}
	warnUnwatched("cookie_session", location, deps)
	c.ForwardHTTPHeaders = append(slices.Clone(c.ForwardHTTPHeaders), "Cookie")
	return &cookieSession{config: c, url: location, client: deps.Upstream}, nil
}

func (a *cookieSession) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	if !a.responsible(r) {
		return pipeline.ErrNotResponsible
	}
	question, err := a.question(ctx, r)
	if err != nil {
		return err
	}
	answer, err := a.client.Do(ctx, question)
	if err != nil {
		return err
	}
	if err := a.judge(ctx, question, answer); err != nil {
		return err
	}
	if !gjson.ValidBytes(answer.Body) {
		return a.client.Unusable(question, "the session is not JSON")
	}
	if ended(answer.Body) {
		return pipeline.Unauthenticated("the session is not active")
	}
	return a.fill(s, answer.Body)
}

func (a *cookieSession) responsible(r *pipeline.Request) bool {
	if len(a.config.Only) == 0 {
		return r.HasCookies()
	}
	return slices.ContainsFunc(a.config.Only, func(name string) bool {
		_, found := r.Cookie(name)
		return found
	})
}

func (a *cookieSession) question(ctx context.Context, r *pipeline.Request) (*http.Request, error) {
	location := *a.url
	if !a.config.PreservePath {
		path, err := url.PathUnescape(r.Path)
		if err != nil {
			return nil, pipeline.Invalid("the path is not well encoded")
		}
		location.Path, location.RawPath = path, r.Path
	}
	if !a.config.PreserveQuery {
		location.RawQuery = r.Query
	}
	method := a.config.ForceMethod
	if method == "" {
		method = r.Method
	}
	question, err := http.NewRequestWithContext(ctx, method, location.String(), nil)
	if err != nil {
		return nil, pipeline.Invalid("the request cannot be forwarded to the session store")
	}
	for _, name := range a.config.ForwardHTTPHeaders {
		values := r.Header.Values(name)
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) { // net/http would not send it, which looks like an outage
				return nil, pipeline.Invalid("the %s header holds control characters", name)
			}
		}
		if len(values) > 0 {
			question.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	for name, value := range a.config.AdditionalHeaders {
		question.Header.Set(name, value)
	}
	if a.config.PreserveHost {
		question.Header.Set("X-Forwarded-Host", r.Host)
	}
	return question, nil
}

// judge tells a session from a refusal, and a refusal from an outage.
func (a *cookieSession) judge(ctx context.Context, question *http.Request, answer *upstream.Response) error {
	switch answer.Status {
	case http.StatusOK:
		return nil
	case http.StatusTooManyRequests:
		return pipeline.RateLimited(answer.Header, "the session store limits its rate")
	case http.StatusForbidden:
		if gjson.GetBytes(answer.Body, "error.id").Str == "session_aal2_required" {
			return stepUp()
		}
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusGone:
	default: // a 405 or 407 is about how we asked, a 408 or 503 about the store: neither says who the caller is
		return a.client.Unusable(question, "the session check answered %d", answer.Status)
	}
	if err := a.client.ConfirmNegative(ctx, question.URL); err != nil {
		return err
	}
	return pipeline.Unauthenticated("the session check answered %d", answer.Status)
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

func (a *cookieSession) fill(s *pipeline.Session, body []byte) error {
	var subject string
	if err := decodeAt(body, a.config.SubjectFrom, &subject); err != nil {
		return pipeline.Forbidden("subject_from %q is not a string", a.config.SubjectFrom)
	}
	var extra map[string]any
	if err := decodeAt(body, a.config.ExtraFrom, &extra); err != nil {
		return pipeline.Forbidden("extra_from %q is not an object", a.config.ExtraFrom)
	}
	s.Subject, s.Extra = subject, extra
	return nil
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
