package authn

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
)

// bearerToken asks a session store whose token this is: a Kratos session token, or an API key.
type bearerToken struct {
	from        *tokenFrom
	prefix      string
	checksummed []string
	check       *sessionCheck
}

func newBearerToken(config map[string]any, deps Deps) (Authenticator, error) {
	c := struct {
		sessionConfig
		TokenFrom *tokenFrom `json:"token_from"`
		Prefix    string     `json:"prefix"`
	}{sessionConfig: sessionConfig{PreserveQuery: true}}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	c.SubjectFrom = cmp.Or(c.SubjectFrom, "sub")
	if err := c.TokenFrom.verify(); err != nil {
		return nil, err
	}
	check, err := newSessionCheck("bearer_token", c.sessionConfig, "Authorization", fingerprint("bearer_token", config), deps)
	if err != nil {
		return nil, err
	}
	if !c.TokenFrom.reaches(check.config) {
		deps.Warn("bearer_token: the token is not among what is forwarded, so the session store cannot check it")
	}
	return &bearerToken{from: c.TokenFrom, prefix: c.Prefix, checksummed: deps.ChecksumPrefixes, check: check}, nil
}

func (a *bearerToken) Authenticate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	token := a.from.token(r)
	if token == "" || !strings.HasPrefix(token, a.prefix) {
		return pipeline.ErrNotResponsible
	}
	if hasPrefix(token, a.checksummed) && !checksumHolds(token) {
		return pipeline.Unauthenticated("the token's checksum is wrong")
	}
	return a.check.authenticate(ctx, r, s)
}

// reaches tells whether the token is in what the session store is sent.
func (f *tokenFrom) reaches(c sessionConfig) bool {
	forwards := func(name string) bool {
		return slices.ContainsFunc(c.ForwardHTTPHeaders, func(forwarded string) bool { return strings.EqualFold(forwarded, name) })
	}
	switch {
	case f == nil:
		return true // Authorization, which is always forwarded
	case f.Header != "":
		return forwards(f.Header)
	case f.QueryParameter != "":
		return !c.PreserveQuery
	case f.Cookie != "":
		return forwards("Cookie")
	default:
		return true
	}
}
