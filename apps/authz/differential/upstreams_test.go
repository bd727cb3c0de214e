//go:build differential

package differential

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What the fake servers answer depends on nothing but the question, and both gates ask the same one. Answers
// repeat what was asked, so that a header or a path that one gate sends and the other does not shows up.

// sessions are the answers of the session store, chosen by the cookie "session" or by the bearer token.
var sessions = map[string]string{
	"ok":          `{"subject":"u-1","sub":"u-1","identity":{"id":"k-1","traits":{"email":"ann@example"}},"active":true}`,
	"unicode":     `{"subject":"zoë-日本","sub":"zoë-日本"}`,
	"no-subject":  `{"identity":{"id":"k-1"}}`,
	"number":      `{"subject":7,"sub":7,"identity":{"id":7}}`,
	"null":        `{"subject":null,"sub":null,"identity":null}`,
	"object":      `{"subject":{},"sub":{},"identity":{"id":[]}}`,
	"extra-list":  `{"subject":"u-1","sub":"u-1","extra":[1]}`,
	"list":        `[{"subject":"u-1"}]`,
	"inactive":    `{"subject":"u-1","sub":"u-1","active":false}`,
	"disabled":    `{"subject":"u-1","sub":"u-1","identity":{"id":"k-1","state":"inactive"}}`,
	"quote":       `{"subject":"a\",\"role\":\"admin","sub":"a\",\"role\":\"admin"}`,
	"outage-text": `this is not JSON`,
	"outage-cut":  `{"subject":"u-1"`,
	"outage-none": ``,
}

// introspections are the answers about tokens.
var introspections = map[string]string{
	"ok":           `{"active":true,"sub":"u-1","client_id":"c-1","iss":"https://issuer","aud":["api","other"],"scope":"read photos.write","token_use":"access_token","username":"ann"}`,
	"inactive":     `{"active":false}`,
	"empty":        `{}`,
	"expired":      `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"read","exp":1}`,
	"exp-zero":     `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"read","exp":0}`,
	"refresh":      `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"read","token_use":"refresh_token"}`,
	"refresh-dead": `{"active":false,"token_use":"refresh_token"}`,
	"aud-text":     `{"active":true,"sub":"u-1","aud":"api","iss":"https://issuer","scope":"read"}`,
	"aud-other":    `{"active":true,"sub":"u-1","aud":["other"],"iss":"https://issuer","scope":"read"}`,
	"no-aud":       `{"active":true,"sub":"u-1","iss":"https://issuer","scope":"read"}`,
	"iss-other":    `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer/","scope":"read"}`,
	"no-scope":     `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer"}`,
	"scope-wild":   `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"photos.* read"}`,
	"scope-parent": `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"photos read"}`,
	"no-sub":       `{"active":true,"aud":["api"],"iss":"https://issuer","scope":"read"}`,
	"ext":          `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"read","ext":{"k":"v","list":[1,"two"]}}`,
	"ext-over":     `{"active":true,"sub":"u-1","aud":["api"],"iss":"https://issuer","scope":"read","username":"ann","ext":{"username":"root","client_id":"root","scope":"admin"}}`,
	"outage-text":  `this is not JSON`,
	"outage-aud":   `{"active":true,"aud":7}`,
	"outage-type":  `{"active":"true"}`,
	"outage-none":  ``,
}

// statuses are answers without a usable body, for both kinds: "outage-" where the answer says nothing about the caller.
var statuses = map[string]int{
	"status-401": 401, "status-403": 403, "status-404": 404,
	"outage-204": 204, "outage-302": 302, "outage-400": 400, "outage-500": 500, "outage-503": 503,
}

func newUpstreams(t *testing.T, c *credentials) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/keys.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.public) })
	mux.HandleFunc("/introspect", introspect)
	mux.HandleFunc("/remote", remote)
	mux.HandleFunc("/remote_json", remote)
	mux.HandleFunc("/hydrate", hydrate)
	mux.HandleFunc("/", session) // any path: without preserve_path the client chooses it
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func session(w http.ResponseWriter, r *http.Request) {
	variant := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer key-")
	if cookie, err := r.Cookie("session"); err == nil {
		variant = cookie.Value
	}
	if status, found := statuses[variant]; found {
		w.WriteHeader(status)
		return
	}
	body, known := sessions[variant]
	if !known {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if rest, isObject := strings.CutSuffix(body, "}"); isObject && !strings.Contains(body, `"extra"`) {
		seen, _ := json.Marshal(map[string]any{
			"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "accept": r.Header.Values("Accept"), "x-tenant": r.Header.Values("X-Tenant"),
			"x-forwarded-host": r.Header.Get("X-Forwarded-Host"), "x-added": r.Header.Get("X-Added"), "cookie": r.Header.Values("Cookie"),
		})
		body = rest + `,"extra":` + string(seen) + "}"
	}
	_, _ = io.WriteString(w, body)
}

func introspect(w http.ResponseWriter, r *http.Request) {
	variant := strings.TrimPrefix(r.PostFormValue("token"), "tok-")
	if status, found := statuses[variant]; found {
		w.WriteHeader(status)
		return
	}
	if strings.Contains(r.PostFormValue("scope"), "admin") && variant == "ok" { // the server checks the scopes it is asked for
		variant = "inactive"
	}
	body, known := introspections[variant]
	if !known {
		body = `{"active":false}`
	}
	_, _ = io.WriteString(w, body)
}

// remote answers with the status that the subject or a header names, and repeats what it was told.
func remote(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Remote-Body", strconv.Quote(string(body)))
	w.Header().Set("X-Remote-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Remote-Subject", r.Header.Get("X-Subject"))
	w.Header().Set("X-Remote-Method", r.Method)
	question := string(body) + r.Header.Get("X-Ask")
	for _, status := range []int{204, 401, 403, 404} {
		if strings.Contains(question, "verdict-"+strconv.Itoa(status)) {
			w.WriteHeader(status)
			return
		}
	}
}

// hydrate adds to the session that it is sent.
func hydrate(w http.ResponseWriter, r *http.Request) {
	var s map[string]any
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ask := r.Header.Get("X-Hydrate")
	switch ask {
	case "401", "403", "404":
		status, _ := strconv.Atoi(ask)
		w.WriteHeader(status)
		return
	case "other-subject":
		s["subject"] = "root"
	case "text":
		_, _ = io.WriteString(w, "this is not JSON")
		return
	}
	user, password, _ := r.BasicAuth()
	keys := []string{}
	for key := range s {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	s["extra"] = map[string]any{"hydrated": true, "query": r.URL.RawQuery, "user": user + ":" + password, "keys": keys, "was": s["extra"]}
	s["header"] = map[string][]string{"X-Hydrated": {"yes"}}
	_ = json.NewEncoder(w).Encode(s)
}
