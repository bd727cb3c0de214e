//go:build integration

package suite

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/app"
	"gatehouse.internal/api/internal/problem"
)

// What every operation owes to those who may not use it is tested for every operation of the document, also for those that
// are added tomorrow.

// described is an operation with a request that fits it, about objects that do not exist.
type described struct {
	id      string
	rule    access.Rule
	request request
	path    string
	body    *openapi3.SchemaRef
}

func operations(t *testing.T) []described {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document.Document)
	require.NoError(t, err)
	rules, err := access.Read(doc)
	require.NoError(t, err)
	var out []described
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			d := described{id: operation.OperationID, rule: rules[operation.OperationID], path: path}
			d.request = request{method: method, path: fill(path, item) + query(item, operation)}
			if operation.RequestBody != nil {
				d.body = operation.RequestBody.Value.Content.Get("application/json").Schema
				d.request.body = sample(d.body.Value)
			}
			out = append(out, d)
		}
	}
	return out
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// fill puts into each parameter a value that fits: an id that nothing has.
func fill(path string, item *openapi3.PathItem) string {
	schemas := map[string]*openapi3.Schema{}
	for _, p := range item.Parameters {
		schemas[p.Value.Name] = p.Value.Schema.Value
	}
	return parameter.ReplaceAllStringFunc(path, func(name string) string {
		schema := schemas[strings.Trim(name, "{}")]
		if schema == nil {
			return uuid.NewString()
		}
		return fmt.Sprint(sample(schema))
	})
}

func query(item *openapi3.PathItem, operation *openapi3.Operation) string {
	var out []string
	for _, p := range append(append(openapi3.Parameters{}, item.Parameters...), operation.Parameters...) {
		if p.Value.In == openapi3.ParameterInQuery && p.Value.Required {
			out = append(out, fmt.Sprintf("%s=%v", p.Value.Name, sample(p.Value.Schema.Value)))
		}
	}
	if out == nil {
		return ""
	}
	return "?" + strings.Join(out, "&")
}

// sample is a value that fits a schema.
func sample(s *openapi3.Schema) any {
	switch {
	case s.Example != nil:
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AllOf) > 0:
		return sample(s.AllOf[0].Value)
	case len(s.OneOf) > 0:
		return sample(s.OneOf[0].Value)
	case s.Type.Is("object"):
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = sample(s.Properties[name].Value)
		}
		if len(out) == 0 && s.MinProps > 0 {
			for name, property := range s.Properties {
				out[name] = sample(property.Value)
				break
			}
		}
		return out
	case s.Type.Is("array"):
		out := []any{}
		for range s.MinItems {
			out = append(out, sample(s.Items.Value))
		}
		return out
	case s.Type.Is("boolean"):
		return true
	case s.Type.Is("integer"), s.Type.Is("number"):
		if s.Min != nil {
			return *s.Min
		}
		return 1
	}
	switch s.Format {
	case "uuid":
		return uuid.NewString()
	case "email":
		return "somebody@example.com"
	case "uri":
		return "https://example.com/"
	case "date-time":
		return time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	}
	return "abc"[:max(1, min(3, int(s.MinLength)))] + strings.Repeat("x", max(0, int(s.MinLength)-3))
}

func TestEveryOperationRefusesNobody(t *testing.T) {
	w := newWorld(t)
	for _, o := range operations(t) {
		if o.rule.Anyone {
			continue
		}
		t.Run(o.id, func(t *testing.T) { w.in(t).do(nobody, o.request).refused(problem.Unauthenticated) })
	}
}

func TestEveryOperationHidesWhatTheCallerMayNotSee(t *testing.T) {
	w := newWorld(t)
	outsider := w.person()
	for _, o := range operations(t) {
		if o.rule.Permit == "" {
			continue
		}
		t.Run(o.id, func(t *testing.T) {
			if strings.HasPrefix(o.rule.Permit, "Platform.") {
				w.in(t).do(outsider, o.request).refused(problem.Forbidden)
				return
			}
			w.in(t).do(outsider, o.request).refused(problem.NotFound)
		})
	}
}

func TestEveryOperationNeedsItsScope(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	for _, o := range operations(t) {
		switch {
		case o.rule.Scope != "":
			t.Run(o.id, func(t *testing.T) {
				w.in(t).do(person.through("an-application", "openid"), o.request).refused(problem.InsufficientScope)
				w.do(machine("a-machine", "something:else"), o.request).refused(problem.InsufficientScope)
			})
		case o.rule.Sensitive:
			t.Run(o.id, func(t *testing.T) {
				w.in(t).do(person.through("an-application", "openid"), o.request).refused(problem.SessionRequired)
				w.do(machine("a-machine"), o.request).refused(problem.SessionRequired)
			})
		}
	}
}

func TestEveryOperationRefusesWhatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	for _, o := range operations(t) {
		t.Run(o.id, func(t *testing.T) {
			if strings.Contains(o.path, "{") && !o.rule.Anyone {
				bad := o.request
				bad.path = parameter.ReplaceAllString(o.path, "not-an-id")
				if !strings.Contains(o.path, "{client}") { // whose ids are Hydra's
					w.in(t).do(person, bad).refused(problem.InvalidRequest)
				}
			}
			if strings.Contains(o.path, "/consent") && o.request.method == http.MethodGet {
				bad := o.request
				bad.path = o.path
				w.in(t).do(person, bad).refused(problem.InvalidRequest)
			}
			if o.body == nil {
				return
			}
			for _, body := range []string{"", "{", "null", "[]", `{"nobody-knows-this":1}`} {
				bad := o.request
				bad.body = []byte(body)
				w.in(t).do(person, bad).refused(problem.InvalidRequest)
			}
			bad := o.request
			bad.body = bytes.Repeat([]byte(" "), 3<<20)
			w.in(t).do(person, bad).refused(problem.TooLarge)
		})
	}
}

func TestAWriteOfASessionFromAnotherSiteIsRefused(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	for _, o := range operations(t) {
		if o.request.method == http.MethodGet || o.rule.Anyone {
			continue
		}
		t.Run(o.id, func(t *testing.T) {
			foreign := o.request
			foreign.header = map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
			w.in(t).do(person, foreign).refused(problem.CrossSite)
		})
	}
}

func TestWithoutKetoWhatNeedsAPermitIsUnavailableAndNeverAllowed(t *testing.T) {
	w := newWorld(t, func(s *app.Settings) { s.Keto.ReadURL = "http://127.0.0.1:1" })
	person := w.person()
	for _, o := range operations(t) {
		if o.rule.Permit == "" {
			continue
		}
		t.Run(o.id, func(t *testing.T) { w.in(t).do(person, o.request).refused(problem.Unavailable) })
	}
}

func TestWithoutPostgresEverythingIsUnavailable(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	w.get(person, "/api/me").requires(http.StatusOK)
	w.disconnect()
	for _, o := range operations(t) {
		if o.id == "getPublicHealth" || o.id == "getDocument" { // which depend on nothing
			continue
		}
		t.Run(o.id, func(t *testing.T) { w.in(t).do(person, o.request).refused(problem.Unavailable) })
	}
}

// disconnect ends the service's connections, and lets it make no new ones until the test ends.
func (w *world) disconnect() {
	w.t.Helper()
	config, err := pgx.ParseConfig(w.database.URL(w.t, ""))
	require.NoError(w.t, err)
	name := config.Database
	config.Database = "postgres"
	connection, err := pgx.ConnectConfig(w.t.Context(), config)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, connection.Close(w.t.Context())) }()
	_, err = connection.Exec(w.t.Context(), fmt.Sprintf("ALTER DATABASE %q ALLOW_CONNECTIONS false", name))
	require.NoError(w.t, err)
	_, err = connection.Exec(w.t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	require.NoError(w.t, err)
}

func TestEveryOperationIsRefusedToWhoAsksTooOften(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.Limits.PerAddress = app.Limit{PerSecond: 1e-6, Burst: 1} })
	w.get(nobody, "/api/public/health").requires(http.StatusOK)
	for _, o := range operations(t) {
		t.Run(o.id, func(t *testing.T) {
			if o.id == "getPublicHealth" || o.id == "getDocument" {
				return // counted, too; what they answer then is no part of their promise
			}
			refused := w.in(t).do(nobody, o.request).refused(problem.RateLimited)
			require.NotEmpty(t, refused.header.Get("Retry-After"))
			require.Contains(t, refused.header.Get("RateLimit"), "r=0")
		})
	}
}

func TestOneCallerIsCountedFromEveryAddress(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.Limits.PerPrincipal = app.Limit{PerSecond: 1e-6, Burst: 2} })
	ann := w.person()
	from := func(address string) answer {
		return w.do(ann, request{method: http.MethodGet, path: "/api/me", header: map[string]string{"X-Forwarded-For": address}})
	}
	require.Contains(t, from("203.0.113.1").requires(http.StatusOK).header.Get("RateLimit"), "r=1")
	from("203.0.113.2").requires(http.StatusOK)
	from("203.0.113.3").refused(problem.RateLimited)
	w.get(w.person(), "/api/me").requires(http.StatusOK)
}
