package errors

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"

	"gatehouse.internal/authz/internal/pipeline"
)

// redirect sends a browser somewhere else, usually to log in.
type redirect struct {
	to       *url.URL
	code     int
	returnTo string
	when     []when
}

var returnToName = regexp.MustCompile(`\A[A-Za-z0-9,._~-]*\z`)

func newRedirect(config map[string]any) (Handler, error) {
	c := struct {
		To       string `json:"to"`
		Code     int    `json:"code"`
		ReturnTo string `json:"return_to_query_param"`
		When     []when `json:"when"`
	}{Code: http.StatusFound}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if c.To == "" {
		return nil, errors.New("to: missing")
	}
	to, err := url.Parse(c.To)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	if c.Code != http.StatusMovedPermanently && c.Code != http.StatusFound {
		return nil, errors.New("code: must be 301 or 302")
	}
	if !returnToName.MatchString(c.ReturnTo) {
		return nil, errors.New("return_to_query_param: only letters, digits and ,._~- are allowed")
	}
	return redirect{to: to, code: c.Code, returnTo: c.ReturnTo, when: c.When}, verify(c.When)
}

func (h redirect) Responsible(r *pipeline.Request, d *pipeline.Denial) bool {
	return anyWhen(h.when, r, d)
}

func (h redirect) Respond(r *pipeline.Request, _ *pipeline.Denial) pipeline.Response {
	location := *h.to
	if h.returnTo != "" {
		query := location.Query()
		query.Set(h.returnTo, r.Address()) // encoded once, where Oathkeeper encodes an encoded query again
		location.RawQuery = query.Encode()
	}
	response := pipeline.Response{Status: h.code, Header: http.Header{"Location": {location.String()}}}
	if r.Method == http.MethodGet || r.Method == http.MethodHead { // for a person's browser, as net/http does
		response.Header.Set("Content-Type", "text/html; charset=utf-8")
	}
	if r.Method == http.MethodGet {
		response.Body = fmt.Sprintf("<a href=\"%s\">%s</a>.\n\n", html.EscapeString(location.String()), http.StatusText(h.code))
	}
	return response
}
