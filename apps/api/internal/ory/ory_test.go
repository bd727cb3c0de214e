package ory_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/ory/orytest"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

const (
	person  = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01"
	timeout = 10 * time.Second
)

func TestSessionOfAPerson(t *testing.T) {
	stack := orytest.New(t)
	stack.Set(func(s *orytest.Stack) {
		s.Identities[person] = orytest.Identity{Email: "Ann@example.com", Name: "Ann", Verified: true}
		s.Sessions["good"] = person
	})
	kratos := ory.NewKratosPublic(stack.KratosPublic, ory.HTTPClient(timeout))

	session, err := kratos.Session(t.Context(), "good")

	require.NoError(t, err)
	require.Equal(t, principal.KratosSession{
		ID: "11111111-2222-4333-8444-555555555555", AAL: "aal1", UserID: uuid.MustParse(person),
		Email: "Ann@example.com", EmailVerified: true,
	}, session)
}

func TestSessionRefusals(t *testing.T) {
	stack := orytest.New(t)
	stack.Set(func(s *orytest.Stack) { s.StepUp["half"] = true })
	kratos := ory.NewKratosPublic(stack.KratosPublic+"/", ory.HTTPClient(timeout))

	_, err := kratos.Session(t.Context(), "bad")
	require.ErrorIs(t, err, principal.ErrRejected)
	_, err = kratos.Session(t.Context(), "half")
	require.ErrorIs(t, err, principal.ErrStepUp)
}

func TestOutageIsNeverANo(t *testing.T) {
	for name, outage := range map[string]func(*orytest.Stack){
		"database down": func(s *orytest.Stack) { s.DatabaseDown = true },
		"broken":        func(s *orytest.Stack) { s.Broken = true },
	} {
		t.Run(name, func(t *testing.T) {
			stack := orytest.New(t)
			stack.Set(outage)
			c := ory.HTTPClient(timeout)

			_, err := ory.NewKratosPublic(stack.KratosPublic, c).Session(t.Context(), "x")
			require.Error(t, err)
			require.NotErrorIs(t, err, principal.ErrRejected)

			_, err = ory.NewHydra(stack.HydraAdmin, c).Introspect(t.Context(), "x")
			require.Error(t, err)
			require.NotErrorIs(t, err, principal.ErrRejected)

			_, err = ory.NewKratosAdmin(stack.KratosAdmin, c).Identity(t.Context(), uuid.MustParse(person))
			require.Error(t, err)
			require.NotErrorIs(t, err, users.ErrNoIdentity)
			require.Error(t, ory.NewKeto(stack.HydraAdmin, c).Ready(t.Context()))
		})
	}
}

func TestIdentity(t *testing.T) {
	stack := orytest.New(t)
	kratos := ory.NewKratosAdmin(stack.KratosAdmin, ory.HTTPClient(timeout))
	id := uuid.MustParse(person)

	_, err := kratos.Identity(t.Context(), id)
	require.ErrorIs(t, err, users.ErrNoIdentity)

	stack.Set(func(s *orytest.Stack) {
		s.Identities[person] = orytest.Identity{Email: "ann@example.com", Name: "Ann", Inactive: true}
	})
	found, err := kratos.Identity(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, users.Identity{ID: id, Email: "ann@example.com", Name: "Ann"}, found)
}

// A wrong address must not bury everyone: only the admin port has the readiness path that is asked.
func TestNotFoundAtTheWrongPortIsNotAMissingIdentity(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"a page that is not Kratos'": http.NotFoundHandler(),
		"Kratos' public port": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":{"code":404}}`))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, err := ory.NewKratosAdmin(server.URL, ory.HTTPClient(timeout)).Identity(t.Context(), uuid.MustParse(person))
			require.Error(t, err)
			require.NotErrorIs(t, err, users.ErrNoIdentity)
		})
	}
}

func TestIntrospection(t *testing.T) {
	stack := orytest.New(t)
	stack.Set(func(s *orytest.Stack) {
		s.Tokens["good"] = orytest.Token{Use: "access_token", Subject: "m", Client: "m", Scope: "a b", Issuer: "i", Audience: []string{"x"}}
	})
	hydra := ory.NewHydra(stack.HydraAdmin, ory.HTTPClient(timeout))

	token, err := hydra.Introspect(t.Context(), "good")
	require.NoError(t, err)
	require.True(t, token.Expires.After(time.Now()))
	token.Expires = time.Time{}
	require.Equal(t, principal.HydraToken{
		Use: "access_token", Issuer: "i", Subject: "m", ClientID: "m", Scope: "a b", Audience: []string{"x"},
	}, token)

	_, err = hydra.Introspect(t.Context(), "bad")
	require.ErrorIs(t, err, principal.ErrRejected)
}

func TestChallenges(t *testing.T) {
	stack := orytest.New(t)
	stack.Set(func(s *orytest.Stack) {
		s.Challenges["used"] = orytest.Challenge{Used: true}
		s.Challenges["old"] = orytest.Challenge{Expired: true}
	})
	hydra := ory.NewHydra(stack.HydraAdmin, ory.HTTPClient(timeout))
	for challenge, want := range map[string]error{
		"unknown": consent.ErrUnknownChallenge, "used": consent.ErrExpiredChallenge, "old": consent.ErrExpiredChallenge,
	} {
		_, err := hydra.ConsentRequest(t.Context(), challenge)
		require.ErrorIs(t, err, want, challenge)
	}
}

func TestErrorsHoldNoSecretOfTheQuery(t *testing.T) {
	stack := orytest.New(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	_, err := ory.NewHydra(gone.URL, ory.HTTPClient(timeout)).ConsentRequest(t.Context(), "secret-challenge")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-challenge")

	stack.Set(func(s *orytest.Stack) { s.Broken = true })
	_, err = ory.NewHydra(stack.HydraAdmin, ory.HTTPClient(timeout)).ConsentRequest(t.Context(), "secret-challenge")
	require.NotContains(t, err.Error(), "secret-challenge")
}

func TestPagesFollowTheLink(t *testing.T) {
	const second = "948581f8-0f0e-4f37-9f7a-3f1f6f1f0a02"
	repeat := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id := person
		switch token := r.URL.Query().Get("page_token"); {
		case token == "" || repeat:
			w.Header().Add("Link", `</admin/identities?page_size=250&page_token=first>; rel="first",</admin/identities?page_size=250&page_token=a%2Bb>; rel="next"`)
		case token == "a+b":
			id = second
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`[{"id":"` + id + `","schema_id":"person","schema_url":"","state":"active","traits":{"email":"ann@example.com"}}]`))
	}))
	defer server.Close()
	kratos := ory.NewKratosAdmin(server.URL, ory.HTTPClient(timeout))

	page, next, err := kratos.Page(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []users.Identity{{ID: uuid.MustParse(person), Email: "ann@example.com", Active: true}}, page)
	page, last, err := kratos.Page(t.Context(), next)
	require.NoError(t, err)
	require.Equal(t, uuid.MustParse(second), page[0].ID)
	require.Empty(t, last)

	repeat = true
	_, _, err = kratos.Page(t.Context(), next)
	require.ErrorContains(t, err, "followed by itself")
	_, _, err = ory.NewKratosAdmin("http://127.0.0.1:1", ory.HTTPClient(timeout)).Page(t.Context(), "")
	require.Error(t, err)
}
