package authn

import (
	"cmp"
	"context"
	"slices"

	"gatehouse.internal/authz/internal/pipeline"
)

// cookieSession asks a session store, such as Kratos, whose cookie this is.
type cookieSession struct {
	only  []string
	check *sessionCheck
}

func newCookieSession(config map[string]any, deps Deps) (Authenticator, error) {
	c := struct {
		sessionConfig
		Only []string `json:"only"`
	}{sessionConfig: sessionConfig{PreserveQuery: true}}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	c.SubjectFrom = cmp.Or(c.SubjectFrom, "subject")
	check, err := newSessionCheck("cookie_session", c.sessionConfig, "Cookie", fingerprint("cookie_session", config), deps)
	if err != nil {
		return nil, err
	}
	return &cookieSession{only: c.Only, check: check}, nil
}

func (a *cookieSession) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	if !a.responsible(r) {
		return pipeline.ErrNotResponsible
	}
	return a.check.authenticate(ctx, r, s)
}

func (a *cookieSession) responsible(r *pipeline.Request) bool {
	if len(a.only) == 0 {
		return r.HasCookies()
	}
	return slices.ContainsFunc(a.only, func(name string) bool {
		_, found := r.Cookie(name)
		return found
	})
}
