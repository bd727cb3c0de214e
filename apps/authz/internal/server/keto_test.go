package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/oathkeeper"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/rule"
	"gatehouse.internal/authz/internal/upstream"
)

// readmesKetoExample is the authorizer that the README shows, for a Keto at location.
func readmesKetoExample(t *testing.T, location string) rule.Handler {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(readme), "**Asking Keto**")
	require.True(t, found)
	_, example, _ = strings.Cut(example, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	var shown struct {
		Authorizer struct {
			Handler string
			Config  map[string]any
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(example), &shown))
	remote, isText := shown.Authorizer.Config["remote"].(string)
	require.True(t, isText)
	shown.Authorizer.Config["remote"] = strings.Replace(remote, "http://keto:4466", location, 1)
	return rule.Handler{Handler: shown.Authorizer.Handler, Config: shown.Authorizer.Config}
}

// Keto 0.14 answers POST /relation-tuples/check with 200 {"allowed":true} or 403 {"allowed":false}.
func TestReadmesExampleAsksKeto(t *testing.T) {
	var asked []string
	keto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		var tuple struct {
			Namespace, Object, Relation string
			Subject                     string `json:"subject_id"`
		}
		allowed := json.Unmarshal(body, &tuple) == nil && tuple.Namespace == "Gateway" && tuple.Relation == "view" &&
			tuple.Object == "blue" && tuple.Subject == `ann "the admin"`
		w.Header().Set("Content-Type", "application/json")
		if !allowed {
			w.WriteHeader(http.StatusForbidden)
		}
		_ = json.NewEncoder(w).Encode(map[string]bool{"allowed": allowed})
	}))
	t.Cleanup(keto.Close)
	config, err := oathkeeper.Parse([]byte(`
access_rules: {repositories: [unused]}
authenticators: {anonymous: {enabled: true, config: {subject: 'ann "the admin"'}}}
authorizers: {remote_json: {enabled: true}}
mutators: {noop: {enabled: true}}
`))
	require.NoError(t, err)
	snapshot, err := engine.Compile(config, []rule.Rule{{
		ID: "gateways", Match: &rule.Match{URL: "https://h/gateways/<[a-z]+>", Methods: []string{"GET"}},
		Authenticators: []rule.Handler{{Handler: "anonymous"}}, Authorizer: readmesKetoExample(t, keto.URL), Mutators: []rule.Handler{{Handler: "noop"}},
	}}, engine.Options{Upstream: upstream.New(upstream.Options{Timeout: 5 * time.Second, MaxConnections: 1}), Now: time.Now})
	require.NoError(t, err)
	require.Empty(t, snapshot.Warnings(), "the example is one to copy")
	e := &engine.Engine{}
	e.Use(snapshot)
	decide := func(path string) engine.Decision {
		return e.Decide(t.Context(), &pipeline.Request{Method: "GET", Scheme: "https", Host: "h", Path: path, Header: http.Header{}})
	}

	require.Equal(t, engine.Allowed, decide("/gateways/blue").Outcome)
	require.Equal(t, http.StatusForbidden, decide("/gateways/red").Status)
	require.Len(t, asked, 2)
	require.True(t, strings.HasPrefix(asked[0], "POST /relation-tuples/check {"), asked[0])
	keto.Close()
	require.Equal(t, engine.Failed, decide("/gateways/blue").Outcome)
}
