// Package orytest stands in for Kratos and Hydra in unit tests: it answers as they were seen to answer, outages
// included. Integration tests use the real servers.
package orytest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Identity is a person at Kratos.
type Identity struct {
	Email, Name string
	Verified    bool
	Inactive    bool
	// Deleted is gone from the admin port while a session still tells of it: a moment that a cache makes
	// longer.
	Deleted bool
}

// Token is an access token at Hydra.
type Token struct {
	Use, Subject, Client, Scope, Issuer string
	Audience                            []string
}

// Challenge is a consent request at Hydra.
type Challenge struct {
	Subject, Client  string
	Scopes, Audience []string
	Used, Expired    bool
}

// Stack is Kratos and Hydra. Change its fields through Set.
type Stack struct {
	KratosPublic, KratosAdmin, HydraAdmin string

	mu         sync.Mutex
	Identities map[string]Identity
	Sessions   map[string]string // cookie -> identity
	StepUp     map[string]bool   // cookies that lack the second factor
	Tokens     map[string]Token
	Challenges map[string]Challenge
	// DatabaseDown makes both answer as they do without their database: "no" to every credential.
	DatabaseDown bool
	// Broken makes both answer 500 to everything.
	Broken bool
	// Decision is the last body that Hydra was sent for a challenge, with the verb.
	Decision map[string]any
	Verb     string
}

// New starts a stack without anyone in it.
func New(t *testing.T) *Stack {
	t.Helper()
	s := &Stack{
		Identities: map[string]Identity{}, Sessions: map[string]string{}, StepUp: map[string]bool{},
		Tokens: map[string]Token{}, Challenges: map[string]Challenge{},
	}
	serve := func(routes map[string]http.HandlerFunc) string {
		mux := http.NewServeMux()
		for pattern, handler := range routes {
			mux.HandleFunc(pattern, handler)
		}
		server := httptest.NewServer(s.guarded(mux))
		t.Cleanup(server.Close)
		return server.URL
	}
	s.KratosPublic = serve(map[string]http.HandlerFunc{"/sessions/whoami": s.whoami, "/health/ready": s.ready})
	s.KratosAdmin = serve(map[string]http.HandlerFunc{"/admin/identities/{id}": s.identity, "/admin/health/ready": s.ready})
	s.HydraAdmin = serve(map[string]http.HandlerFunc{
		"/admin/oauth2/introspect":                         s.introspect,
		"/admin/oauth2/auth/requests/consent":              s.consent,
		"PUT /admin/oauth2/auth/requests/consent/{decide}": s.decide,
		"/health/ready":                                    s.ready,
	})
	return s
}

// Set changes the stack.
func (s *Stack) Set(change func(*Stack)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *Stack) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.Broken {
			fail(w, http.StatusInternalServerError, "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Stack) ready(w http.ResponseWriter, _ *http.Request) {
	if s.DatabaseDown {
		fail(w, http.StatusServiceUnavailable, "")
		return
	}
	answer(w, http.StatusOK, map[string]any{"status": "ok"})
}

func (s *Stack) whoami(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie("ory_kratos_session")
	if err != nil || s.DatabaseDown {
		fail(w, http.StatusUnauthorized, "session_inactive")
		return
	}
	if s.StepUp[cookie.Value] {
		fail(w, http.StatusForbidden, "session_aal2_required")
		return
	}
	id, found := s.Sessions[cookie.Value]
	if !found {
		fail(w, http.StatusUnauthorized, "session_inactive")
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"id": "11111111-2222-4333-8444-555555555555", "active": true, "authenticator_assurance_level": "aal1",
		"identity": s.person(id),
	})
}

func (s *Stack) identity(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	switch identity, found := s.Identities[id]; {
	case s.DatabaseDown:
		fail(w, http.StatusNotFound, "") // worse than the real one, which says 500
	case !found || identity.Deleted:
		fail(w, http.StatusNotFound, "")
	default:
		answer(w, http.StatusOK, s.person(id))
	}
}

func (s *Stack) person(id string) map[string]any {
	identity := s.Identities[id]
	state := "active"
	if identity.Inactive {
		state = "inactive"
	}
	return map[string]any{
		"id": id, "schema_id": "user", "schema_url": "http://localhost/schemas/dXNlcg", "state": state,
		"metadata_public": nil,
		"traits":          map[string]any{"email": identity.Email, "name": identity.Name},
		"verifiable_addresses": []any{map[string]any{
			"id": id, "value": strings.ToLower(identity.Email), "verified": identity.Verified, "via": "email", "status": "sent",
		}},
	}
}

func (s *Stack) introspect(w http.ResponseWriter, r *http.Request) {
	token, found := s.Tokens[r.FormValue("token")]
	if !found || s.DatabaseDown {
		answer(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"active": true, "sub": token.Subject, "client_id": token.Client, "scope": token.Scope, "aud": token.Audience,
		"iss": token.Issuer, "token_use": token.Use, "token_type": "Bearer", "exp": time.Now().Add(time.Hour).Unix(),
	})
}

func (s *Stack) consent(w http.ResponseWriter, r *http.Request) {
	challenge, found := s.Challenges[r.URL.Query().Get("consent_challenge")]
	switch {
	case !found:
		fail(w, http.StatusNotFound, "")
	case challenge.Expired:
		fail(w, http.StatusUnauthorized, "")
	case challenge.Used:
		answer(w, http.StatusGone, map[string]any{"redirect_to": "http://localhost:8080/oauth2/auth"})
	default:
		answer(w, http.StatusOK, map[string]any{
			"challenge": r.URL.Query().Get("consent_challenge"), "subject": challenge.Subject, "skip": false,
			"client":          map[string]any{"client_id": challenge.Client, "client_name": "Demo"},
			"requested_scope": challenge.Scopes, "requested_access_token_audience": challenge.Audience,
		})
	}
}

// fields are what Hydra v2.3 takes; it refuses others.
var fields = map[string][]string{
	"accept": {"grant_scope", "grant_access_token_audience", "session", "remember", "remember_for", "handled_at", "context"},
	"reject": {"error", "error_debug", "error_description", "error_hint", "status_code"},
}

// decide takes every answer, as the real one does: of several, only one is redeemed later.
func (s *Stack) decide(w http.ResponseWriter, r *http.Request) {
	body := map[string]any{}
	verb := r.PathValue("decide")
	_ = json.NewDecoder(r.Body).Decode(&body)
	for name := range maps.Keys(body) {
		if !slices.Contains(fields[verb], name) {
			fail(w, http.StatusBadRequest, "")
			return
		}
	}
	s.Decision, s.Verb = body, verb
	answer(w, http.StatusOK, map[string]any{"redirect_to": "http://localhost:8080/oauth2/auth?consent_verifier=v"})
}

func fail(w http.ResponseWriter, status int, id string) {
	answer(w, status, map[string]any{"error": map[string]any{"id": id, "code": status, "status": http.StatusText(status), "message": "m"}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
