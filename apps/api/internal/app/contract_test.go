package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/me"
	"gatehouse.internal/api/internal/ory/orytest"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/principal/principaltest"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

const (
	ann     = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01"
	bob     = "5b2a1e0c-7d1f-4a53-8f5e-2c9b1f6d8b03"
	machine = "0b0e3a52-63a9-4b39-8d3a-0d9c6f1b7c02"
	demo    = "7f4df1a4-5c3e-4a9f-9e55-6f0a2d1c3e04"
)

// credential is what a caller holds, in a form that both modes understand: cookie for a session, bearer
// for a token.
type credential struct{ cookie, bearer string }

// mode is one way of running the API. In edge mode the suite stands in for the door as well: it turns
// the credential into what the door would send.
type mode struct {
	name    string
	stack   *orytest.Stack
	handler http.Handler
	present func(r *http.Request, c credential)
}

// newModes starts the API once per mode over the same kind of stack.
func newModes(t *testing.T, directory func(t *testing.T, identities users.Identities) admitter) []mode {
	t.Helper()
	start := func(name string, present func(*orytest.Stack, *principaltest.Door) func(*http.Request, credential)) mode {
		stack, door := orytest.New(t), principaltest.NewDoor(t)
		stack.Set(populate)
		s := valid()
		s.Mode = name
		s.UpstreamTimeout = time.Minute
		s.IdentityToken.JWKSURL = door.URL
		s.Kratos.PublicURL, s.Kratos.AdminURL, s.Hydra.AdminURL = stack.KratosPublic, stack.KratosAdmin, stack.HydraAdmin
		require.NoError(t, s.Verify())
		servers := newServers(s)
		handler, err := newHandler(s, parts{servers: servers, directory: directory(t, servers.kratosAdmin), keys: ring{}, clients: anyone{}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		require.NoError(t, err)
		return mode{name, stack, handler, present(stack, door)}
	}
	asDoor := func(stack *orytest.Stack, door *principaltest.Door) func(*http.Request, credential) {
		return func(r *http.Request, c credential) {
			if claims := decide(stack, c); claims != nil {
				r.Header.Set("Authorization", "Bearer "+door.Sign(t, "first", claims))
			}
		}
	}
	asSelf := func(*orytest.Stack, *principaltest.Door) func(*http.Request, credential) {
		return func(r *http.Request, c credential) {
			if c.cookie != "" {
				r.AddCookie(&http.Cookie{Name: principal.SessionCookie, Value: c.cookie})
			}
			if c.bearer != "" {
				r.Header.Set("Authorization", "Bearer "+c.bearer)
			}
		}
	}
	return []mode{start(edge, asDoor), start(direct, asSelf)}
}

func populate(s *orytest.Stack) {
	token := func(subject, client, scope string) orytest.Token {
		return orytest.Token{
			Use: "access_token", Subject: subject, Client: client, Scope: scope,
			Issuer: "http://localhost:8080", Audience: []string{"http://localhost:8080/api"},
		}
	}
	s.Identities[ann] = orytest.Identity{Email: "ann@example.com", Name: "Ann", Verified: true}
	s.Identities[bob] = orytest.Identity{Email: "bob@example.com", Inactive: true}
	s.Sessions["ann"] = ann
	s.Tokens["machine"] = token(machine, machine, "read write")
	s.Tokens["ann-by-demo"] = token(ann, demo, "openid read")
	s.Tokens["bob-by-demo"] = token(bob, demo, "openid")
	s.Tokens["ghost-by-demo"] = token("00000000-0000-4000-8000-000000000001", demo, "openid")
	s.Challenges["c"] = orytest.Challenge{Subject: ann, Client: demo, Scopes: []string{"openid", "email"}}
	s.Challenges["others"] = orytest.Challenge{Subject: bob, Client: demo, Scopes: []string{"openid"}}
}

// decide is the door's part: the claims for a credential, nil for one that it would refuse.
func decide(stack *orytest.Stack, c credential) (claims principaltest.Claims) {
	now := time.Now()
	stack.Set(func(s *orytest.Stack) {
		if id, found := ringIDs[c.bearer]; found {
			claims = principaltest.Session(id.String(), "", now).With(principaltest.Claims{
				"type": "api_key", "auth": "api_key", "scope": "everything", "sid": nil, "aal": nil, "email": nil, "email_verified": nil,
			})
			return
		}
		if token, found := s.Tokens[c.bearer]; found {
			claims = principaltest.Token(token.Subject, token.Client, token.Scope, now)
			return
		}
		if id, found := s.Sessions[c.cookie]; found && c.bearer == "" {
			claims = principaltest.Session(id, s.Identities[id].Email, now).
				With(principaltest.Claims{"email_verified": s.Identities[id].Verified})
		}
	})
	return claims
}

func (m mode) send(t *testing.T, method, target, body string, c credential, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, reader)
	m.present(r, c)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w
}

func requireRefusal(t *testing.T, w *httptest.ResponseRecorder, code problem.Code) {
	t.Helper()
	require.Equal(t, problem.New(code, "").Status(), w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var body struct{ Code string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Equal(t, string(code), body.Code)
}

// contract is what the API promises in every mode.
func contract(t *testing.T, directory func(t *testing.T, identities users.Identities) admitter) {
	for _, m := range newModes(t, directory) {
		t.Run(m.name, func(t *testing.T) {
			me := func(c credential) *httptest.ResponseRecorder { return m.send(t, "GET", "/api/me", "", c, nil) }

			t.Run("anyone sees that it serves", func(t *testing.T) {
				w := m.send(t, "GET", "/api/public/health", "", credential{}, nil)
				require.Equal(t, http.StatusOK, w.Code)
				require.JSONEq(t, `{"status":"ok"}`, w.Body.String())
			})
			t.Run("a person", func(t *testing.T) {
				for range 2 { // first sight, and again
					w := me(credential{cookie: "ann"})
					require.Equal(t, http.StatusOK, w.Code, w.Body.String())
					require.JSONEq(t, `{"type":"user","id":"`+ann+`","email":"ann@example.com","name":"Ann"}`, w.Body.String())
					require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
				}
			})
			t.Run("a machine", func(t *testing.T) {
				w := me(credential{bearer: "machine"})
				require.Equal(t, http.StatusOK, w.Code, w.Body.String())
				require.JSONEq(t, `{"type":"client","id":"`+machine+`","scopes":["read","write"]}`, w.Body.String())
			})
			t.Run("a person through a client", func(t *testing.T) {
				w := me(credential{bearer: "ann-by-demo"})
				require.Equal(t, http.StatusOK, w.Code, w.Body.String())
				require.JSONEq(t, `{"type":"user","id":"`+ann+`","email":"ann@example.com","name":"Ann","client_id":"`+demo+
					`","scopes":["openid","read"]}`, w.Body.String())
			})
			t.Run("an API key", func(t *testing.T) {
				for secret, owner := range map[string]string{"gh_ann": `"user_id":"` + ann + `"`, "gh_acme": `"organization_id":"` + acme + `"`} {
					w := me(credential{bearer: secret})
					require.Equal(t, http.StatusOK, w.Code, w.Body.String())
					require.JSONEq(t, `{"type":"api_key","id":"`+ringIDs[secret].String()+`",`+owner+`,"scopes":["gateways:read"]}`, w.Body.String())
				}
				requireRefusal(t, me(credential{bearer: "gh_ended"}), problem.Unauthenticated)
				requireRefusal(t, me(credential{bearer: "gh_unknown"}), problem.Unauthenticated)
				requireRefusal(t, m.send(t, "GET", "/api/oauth2/consent?consent_challenge=c", "", credential{bearer: "gh_ann"}, nil), problem.SessionRequired)
			})
			t.Run("a token wins over a cookie", func(t *testing.T) {
				require.Contains(t, me(credential{cookie: "ann", bearer: "machine"}).Body.String(), `"client"`)
			})
			t.Run("a suspended person", func(t *testing.T) {
				requireRefusal(t, me(credential{bearer: "bob-by-demo"}), problem.AccountDisabled)
			})
			t.Run("a person who is not at Kratos", func(t *testing.T) {
				requireRefusal(t, me(credential{bearer: "ghost-by-demo"}), problem.Unauthenticated)
			})
			t.Run("nobody", func(t *testing.T) {
				for _, c := range []credential{{}, {cookie: "expired"}, {bearer: "garbage"}, {cookie: "ann", bearer: "garbage"}} {
					requireRefusal(t, me(c), problem.Unauthenticated)
				}
			})
			t.Run("forged identity headers", func(t *testing.T) {
				w := m.send(t, "GET", "/api/me", "", credential{}, map[string]string{
					"X-User-Id": ann, "X-User-Email": "ann@example.com", "X-Client-Id": machine, "X-Scopes": "read",
				})
				requireRefusal(t, w, problem.Unauthenticated)
			})
			t.Run("a change of address shows at once", func(t *testing.T) {
				m.stack.Set(func(s *orytest.Stack) {
					s.Identities[ann] = orytest.Identity{Email: "ann@new.example", Name: "Ann N.", Verified: true}
				})
				require.JSONEq(t, `{"type":"user","id":"`+ann+`","email":"ann@new.example","name":"Ann N."}`, me(credential{cookie: "ann"}).Body.String())
			})
			t.Run("consent", func(t *testing.T) { consents(t, m) })
			t.Run("an outage is neither a no nor a yes", func(t *testing.T) {
				m.stack.Set(func(s *orytest.Stack) { s.Broken = true })
				defer m.stack.Set(func(s *orytest.Stack) { s.Broken = false })
				requireRefusal(t, m.send(t, "GET", "/api/oauth2/consent?consent_challenge=c", "", credential{cookie: "ann"}, nil), problem.Unavailable)
			})
			t.Run("a deleted person stays out", func(t *testing.T) {
				m.stack.Set(func(s *orytest.Stack) {
					s.Identities[ann] = orytest.Identity{Email: "ann@newer.example", Deleted: true}
				})
				requireRefusal(t, me(credential{cookie: "ann"}), problem.Unauthenticated)
				requireRefusal(t, me(credential{bearer: "ann-by-demo"}), problem.Unauthenticated)
			})
		})
	}
}

func consents(t *testing.T, m mode) {
	person := credential{cookie: "ann"}
	ask := func(challenge string, c credential) *httptest.ResponseRecorder {
		return m.send(t, "GET", "/api/oauth2/consent?consent_challenge="+challenge, "", c, nil)
	}
	requireRefusal(t, ask("c", credential{}), problem.Unauthenticated)
	requireRefusal(t, ask("c", credential{bearer: "machine"}), problem.SessionRequired)
	requireRefusal(t, ask("c", credential{bearer: "ann-by-demo"}), problem.SessionRequired)
	requireRefusal(t, ask("others", person), problem.Forbidden)
	requireRefusal(t, ask("unknown", person), problem.NotFound)

	w := ask("c", person)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var shown struct {
		CSRF string `json:"csrf_token"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &shown))
	body := `{"consent_challenge":"c","csrf_token":"` + shown.CSRF + `","accept":true,"scopes":["openid"]}`
	answer := func(header map[string]string) *httptest.ResponseRecorder {
		header["Content-Type"] = "application/json"
		return m.send(t, "POST", "/api/oauth2/consent", body, person, header)
	}
	requireRefusal(t, answer(map[string]string{}), problem.CrossSite)
	requireRefusal(t, answer(map[string]string{"Origin": "http://evil.example"}), problem.CrossSite)

	w = answer(map[string]string{"Sec-Fetch-Site": "same-origin"})
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Contains(t, w.Body.String(), "consent_verifier")
}

// asKratosSays admits whom Kratos knows, without a table: the integration suite has the real one.
type asKratosSays struct{ identities users.Identities }

func (d asKratosSays) Admit(ctx context.Context, p principal.Principal) (users.User, error) {
	found, err := d.identities.Identity(ctx, p.UserID)
	switch {
	case errors.Is(err, users.ErrNoIdentity):
		return users.User{}, problem.New(problem.Unauthenticated, "").Because(err)
	case err != nil:
		return users.User{}, problem.New(problem.Unavailable, "").Because(err)
	case !found.Active:
		return users.User{}, problem.New(problem.AccountDisabled, "")
	}
	return users.User{ID: found.ID, Email: found.Email, EmailVerified: found.EmailVerified, Name: found.Name}, nil
}

func TestContractInBothModes(t *testing.T) {
	contract(t, func(_ *testing.T, identities users.Identities) admitter { return asKratosSays{identities} })
}

func TestKratosOutageInDirectMode(t *testing.T) {
	modes := newModes(t, func(_ *testing.T, identities users.Identities) admitter { return asKratosSays{identities} })
	m := modes[1]
	m.stack.Set(func(s *orytest.Stack) {
		s.StepUp["half"] = true
	})
	requireRefusal(t, m.send(t, "GET", "/api/me", "", credential{cookie: "half"}, nil), problem.StepUpRequired)

	m.stack.Set(func(s *orytest.Stack) { s.DatabaseDown = true })
	requireRefusal(t, m.send(t, "GET", "/api/me", "", credential{cookie: "ann"}, nil), problem.Unavailable)
	requireRefusal(t, m.send(t, "GET", "/api/me", "", credential{bearer: "machine"}, nil), problem.Unavailable)
}

func TestUserWhoWasNotAdmittedNeverReachesAnOperation(t *testing.T) {
	ctx := principal.With(t.Context(), principal.Principal{Kind: principal.User, Auth: principal.Session, UserID: uuid.MustParse(ann)})
	_, admitted := users.From(ctx)
	require.False(t, admitted)
	_, err := (&me.Operations{}).GetMe(ctx, struct{}{})
	require.Equal(t, problem.Internal, problem.From(err).Code)
}

// ring has one key of Ann's, "gh_ann", and one of an organization's, "gh_acme"; "gh_ended" was one.
type ring struct{}

// anyone knows no client, and so refuses none.
type anyone struct{}

func (anyone) Admit(context.Context, string) error    { return nil }
func (anyone) Issuable(context.Context, string) error { return nil }

var ringIDs = map[string]uuid.UUID{
	"gh_ann": uuid.MustParse("11111111-1111-4111-8111-111111111111"), "gh_acme": uuid.MustParse("22222222-2222-4222-8222-222222222222"),
	"gh_ended": uuid.MustParse("33333333-3333-4333-8333-333333333333"),
}

const acme = "44444444-4444-4444-8444-444444444444"

func (ring) Verify(_ context.Context, secret string) (principal.KeyRecord, error) {
	id, found := ringIDs[secret]
	if !found {
		return principal.KeyRecord{}, principal.ErrRejected
	}
	return principal.KeyRecord{ID: id, Scopes: []string{"everything"}}, nil
}

func (ring) Admit(_ context.Context, p principal.Principal) (principal.Principal, *users.User, error) {
	p.Scopes = []string{"gateways:read"}
	switch p.KeyID {
	case ringIDs["gh_ann"]:
		p.UserID = uuid.MustParse(ann)
		return p, &users.User{ID: p.UserID}, nil
	case ringIDs["gh_acme"]:
		p.OrganizationID = uuid.MustParse(acme)
		return p, nil, nil
	}
	return p, nil, problem.New(problem.Unauthenticated, "")
}
