package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/clients"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
	"gatehouse.internal/api/internal/web"
	"gatehouse.internal/libs/service"
)

func TestInternalPort(t *testing.T) {
	up := errors.New("connection refused")
	health := &service.Health{Metrics: prometheus.NewRegistry(), Checks: map[string]service.Check{
		"postgres": func(context.Context) error { return up },
	}}
	handler := newInternal(health, valid(), map[string]service.Check{
		"keto":   func(context.Context) error { return nil },
		"kratos": func(context.Context) error { return errors.New("readiness answered 503") },
	}, map[string]route{"GET /internal/route": {secret + "!", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})}}, users.Changed{Refuse: web.Refuse})
	get := func(path, authorization string, separate ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", authorization)
		for _, value := range separate {
			r.Header.Set("X-Gatehouse-Secret", value)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}

	require.Equal(t, http.StatusOK, get("/healthz", "").Code)
	require.Equal(t, http.StatusOK, get("/metrics", "").Code)
	require.Equal(t, http.StatusServiceUnavailable, get("/readyz", "").Code)
	up = nil
	require.Equal(t, http.StatusOK, get("/readyz", "").Code)

	for _, wrong := range []string{"", "Bearer ", "Bearer wrong", secret, "Basic " + secret, "Bearer " + secret + "x"} {
		w := get("/internal/health", wrong)
		require.Equal(t, http.StatusUnauthorized, w.Code, wrong)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.NotContains(t, w.Body.String(), "request_id", "this port gives none")
	}
	require.Equal(t, http.StatusUnauthorized, get("/internal/nothing", "").Code)
	require.Equal(t, http.StatusNotFound, get("/internal/nothing", "Bearer "+secret).Code)

	own := secret + "!"
	require.Equal(t, http.StatusNoContent, get("/internal/route", "Bearer "+own).Code)
	require.Equal(t, http.StatusNoContent, get("/internal/route", "Bearer gh_key", own).Code)
	require.Equal(t, http.StatusUnauthorized, get("/internal/route", "Bearer gh_key").Code)
	require.Equal(t, http.StatusUnauthorized, get("/internal/route", "Bearer "+own, "wrong").Code)
	require.Equal(t, http.StatusUnauthorized, get("/internal/route", "Bearer "+secret).Code, "it has one of its own")
	require.Equal(t, http.StatusUnauthorized, get("/internal/health", "Bearer "+own).Code, "which opens nothing else")

	w := get("/internal/health", "Bearer "+secret)
	require.Equal(t, http.StatusOK, w.Code)
	var states map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &states))
	require.Equal(t, map[string]string{"keto": "ok", "kratos": "readiness answered 503"}, states)
}

func TestIdentityChanged(t *testing.T) {
	var noticed []uuid.UUID
	var failure error
	s := valid()
	handler := newInternal(&service.Health{Metrics: prometheus.NewRegistry()}, s, nil, nil, users.Changed{
		Refuse: web.Refuse,
		Notice: func(_ context.Context, id uuid.UUID) error {
			noticed = append(noticed, id)
			return failure
		},
	})
	post := func(secret, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/internal/kratos/identity-changed", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	own, body := s.Kratos.WebhookSecret.Reveal(), `{"identity":"`+ann+`"}`

	for _, wrong := range []string{"", "x", s.InternalSecret.Reveal()} {
		require.Equal(t, http.StatusUnauthorized, post(wrong, body))
	}
	for _, wrong := range []string{
		"", "[]", `{}`, `{"identity":7}`, `{"identity":"ann"}`, `{"identity":"` + uuid.Nil.String() + `"}`,
		`{"identity":"` + strings.ToUpper(ann) + `"}`, `{"identity":"{` + ann + `}"}`, `{"identity":"` + strings.Repeat("a", 2000) + `"}`,
	} {
		require.Equal(t, http.StatusBadRequest, post(own, wrong), wrong)
	}
	require.Empty(t, noticed)

	require.Equal(t, http.StatusNoContent, post(own, body))
	require.Equal(t, []uuid.UUID{uuid.MustParse(ann)}, noticed)
	failure = problem.New(problem.Unavailable, "")
	require.Equal(t, http.StatusServiceUnavailable, post(own, body))

	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/internal/health", nil)
	r.Header.Set("Authorization", "Bearer "+own)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	require.Equal(t, http.StatusUnauthorized, w.Code, "Kratos' secret opens nothing else")
}

func TestTokenHookIsForHydraAlone(t *testing.T) {
	clientele, people := &answering{}, &answering{}
	s := valid()
	routes := parts{clients: clientele, directory: admitting{people}, keys: ring{}}.internal(s, slog.New(slog.DiscardHandler))
	handler := newInternal(&service.Health{Metrics: prometheus.NewRegistry()}, s, nil, routes, users.Changed{Refuse: web.Refuse})
	post := func(secret, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/internal/hydra/token", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	question := func(client, grant, subject string) string {
		return `{"session": {"id_token": {"subject": "` + subject + `"}}, "request": {"client_id": "` + client + `", "grant_types": ["` + grant + `"]}}`
	}
	own, itself := s.Hydra.WebhookSecret.Reveal(), question(machine, "client_credentials", machine)

	require.Equal(t, http.StatusNoContent, post(own, itself))
	require.Empty(t, people.asked, "nobody is behind a client that acts for itself")
	require.Equal(t, http.StatusNoContent, post(own, question(machine, "refresh_token", ann)))
	require.Equal(t, []principal.Principal{{Kind: principal.User, Auth: principal.OAuth2, UserID: uuid.MustParse(ann), ClientID: machine}}, people.asked)
	require.Equal(t, http.StatusForbidden, post(own, question(machine, "authorization_code", "not-a-person")))
	require.Equal(t, http.StatusForbidden, post(own, question(machine, "authorization_code", "")))
	for _, wrong := range []string{"", "{", "[]", `{"request": {}}`} {
		require.Equal(t, http.StatusBadRequest, post(own, wrong), wrong)
	}
	for _, wrong := range []string{"", secret, s.Kratos.WebhookSecret.Reveal(), own + "x"} {
		require.Equal(t, http.StatusUnauthorized, post(wrong, itself))
	}
	people.err = problem.New(problem.AccountDisabled, "")
	require.Equal(t, http.StatusForbidden, post(own, question(machine, "authorization_code", ann)))
	people.err = problem.New(problem.Unavailable, "")
	require.Equal(t, http.StatusServiceUnavailable, post(own, question(machine, "authorization_code", ann)), "an outage is no refusal")
	require.Equal(t, http.StatusNoContent, post(own, itself))
	clientele.err = problem.New(problem.Unavailable, "")
	require.Equal(t, http.StatusServiceUnavailable, post(own, itself))
	clientele.err = clients.ErrEnded
	require.Equal(t, http.StatusForbidden, post(own, itself))
}

// answering gives one answer about every client, or about every person.
type answering struct {
	clientele
	err   error
	asked []principal.Principal
}

func (a *answering) Issuable(context.Context, string) error { return a.err }

type admitting struct{ *answering }

func (a admitting) Admit(_ context.Context, p principal.Principal) (users.User, error) {
	a.asked = append(a.asked, p)
	return users.User{}, a.err
}
