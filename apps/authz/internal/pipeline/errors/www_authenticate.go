package errors

import (
	"errors"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
)

// wwwAuthenticate makes a browser ask for a password.
type wwwAuthenticate struct {
	realm string
	when  []when
}

func newWWWAuthenticate(config map[string]any) (Handler, error) {
	c := struct {
		Realm string `json:"realm"`
		When  []when `json:"when"`
	}{Realm: "Please authenticate."}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if !httpguts.ValidHeaderFieldValue(c.Realm) {
		return nil, errors.New("realm: holds control characters")
	}
	return wwwAuthenticate{realm: c.Realm, when: c.When}, verify(c.When)
}

func (h wwwAuthenticate) Responsible(r *pipeline.Request, d *pipeline.Denial) bool {
	return anyWhen(h.when, r, d)
}

// Respond answers 401 whatever the denial is, and does not quote the realm: so does Oathkeeper.
func (h wwwAuthenticate) Respond(*pipeline.Request, *pipeline.Denial) pipeline.Response {
	return pipeline.Response{
		Status: http.StatusUnauthorized,
		Header: http.Header{
			"Www-Authenticate":       {"Basic realm=" + h.realm},
			"Content-Type":           {"text/plain; charset=utf-8"},
			"X-Content-Type-Options": {"nosniff"},
		},
		Body: http.StatusText(http.StatusUnauthorized) + "\n",
	}
}
