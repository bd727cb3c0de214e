package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/pipeline"
)

// reloading is a running service's configuration that the test changes.
type reloading struct {
	*reloader
	t      *testing.T
	folder string
	logs   *lines
}

func newReloading(t *testing.T, kratos string) *reloading {
	t.Helper()
	settings := writeConfig(t, kratos, "http://127.0.0.1:1")
	logs, m := &lines{}, newMetrics()
	r := &reloader{loader: newLoader(settings, nil), engine: &engine.Engine{}, healthy: health.NewServer(), metrics: m, log: slog.New(slog.NewJSONHandler(logs, nil))}
	snapshot, _, err := r.loader.load(t.Context())
	require.NoError(t, err)
	r.use(snapshot)
	return &reloading{reloader: r, t: t, folder: filepath.Dir(settings.OathkeeperConfig), logs: logs}
}

func (r *reloading) edit(name string, change func(string) string) {
	r.t.Helper()
	path := filepath.Join(r.folder, name)
	text, err := os.ReadFile(path)
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(path, []byte(change(string(text))), 0o600))
	r.reload(r.t.Context())
	r.reload(r.t.Context())
}

func replace(old, new string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, old, new) }
}

func (r *reloading) decide(path string) engine.Decision {
	return r.engine.Decide(r.t.Context(), &pipeline.Request{Method: "GET", Scheme: "http", Host: "h", Path: path, Header: http.Header{}})
}

func (r *reloading) reloads(result string) float64 {
	return testutil.ToFloat64(r.metrics.reloads.WithLabelValues(result))
}

func TestNewRulesAreUsed(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	require.Equal(t, 404, r.decide("/new").Status)
	r.edit("rules.yml", replace("/admin", "/new"))
	require.Equal(t, 403, r.decide("/new").Status)
	require.Equal(t, 404, r.decide("/admin").Status)
	require.EqualValues(t, 2, r.reloads("applied"))
}

func TestNewConfigurationAndTemplatesAreUsed(t *testing.T) { // ory/oathkeeper#272: templates stayed stale
	r := newReloading(t, "http://127.0.0.1:1")
	r.edit("rules.yml", replace(`X-Scopes: ""}`, `X-Scopes: "first"}`))
	require.Equal(t, "first", r.decide("/api/public/x").Set.Get("X-Scopes"))
	r.edit("rules.yml", replace("first", "second"))
	require.Equal(t, "second", r.decide("/api/public/x").Set.Get("X-Scopes"))
	r.edit("oathkeeper.yml", replace("deny: {enabled: true}", "deny: {enabled: false}"))
	require.Equal(t, 500, r.decide("/admin").Status)
}

func TestUnchangedFilesAreNotLoadedAgain(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	before := r.engine.Snapshot()
	r.reload(t.Context())
	require.Same(t, before, r.engine.Snapshot())
	require.EqualValues(t, 1, r.reloads("applied"))
}

func TestBrokenFilesChangeNothing(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"rules.yml":          func(text string) string { return text[:len(text)-20] },
		"oathkeeper.yml":     replace("access_rules", "acess_rules"),
		"id_token.jwks.json": func(string) string { return "{" },
		"./rules.yml":        replace("<[^/]+>/page", "<[^/+>/page"),
		"././rules.yml":      func(string) string { return "" },
		"./oathkeeper.yml":   replace("rules.yml", "missing.yml"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newReloading(t, "http://127.0.0.1:1")
			before := r.engine.Snapshot()
			text, err := os.ReadFile(filepath.Join(r.folder, name))
			require.NoError(t, err)
			r.edit(name, change)
			r.reload(t.Context())
			require.Same(t, before, r.engine.Snapshot())
			require.GreaterOrEqual(t, r.reloads("failed"), 2.0)
			require.Equal(t, 1, strings.Count(r.logs.String(), "could not be reloaded"), "one line per problem")

			r.edit(name, func(string) string { return string(text) + "\n" })
			require.Contains(t, []float64{1, 2}, r.reloads("applied"))
			require.Equal(t, 403, r.decide("/admin").Status)
		})
	}
}

func TestFileThatIsBeingWrittenIsNotUsed(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	path := filepath.Join(r.folder, "rules.yml")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, part := range []string{"", string(whole[:strings.Index(string(whole), "- {id: admin")]), string(whole) + "\n"} {
		require.NoError(t, os.WriteFile(path, []byte(part), 0o600)) // and the next part before the next reading
		r.reload(t.Context())
		require.Equal(t, 403, r.decide("/admin").Status)
	}
	require.EqualValues(t, 1, r.reloads("applied"))
	r.reload(t.Context())
	require.EqualValues(t, 2, r.reloads("applied"), "what is read twice is whole")
}

func TestInvalidRuleOfANewFileAnswers500AndTheOthersWork(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	r.edit("rules.yml", replace("authorizer: {handler: deny}", "authorizer: {handler: dney}"))
	require.Equal(t, 500, r.decide("/admin").Status)
	require.Equal(t, engine.Allowed, r.decide("/api/public/x").Outcome)
}

func TestNewSigningKeyIsPublished(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	r.edit("id_token.jwks.json", replace(`"door"`, `"next"`))
	require.Equal(t, "next", r.engine.Snapshot().PublicKeys()[0].KeyID)
}

func TestRequestInFlightEndsWithTheRulesItBeganWith(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	kratos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		_, _ = io.WriteString(w, session)
	}))
	t.Cleanup(kratos.Close)
	r := newReloading(t, kratos.URL)
	answered := make(chan engine.Decision, 1)
	go func() {
		answered <- r.engine.Decide(t.Context(), &pipeline.Request{
			Method: "GET", Scheme: "http", Host: "h", Path: "/page", Header: http.Header{"Cookie": {"ory_kratos_session=s"}},
		})
	}()
	<-asked
	r.edit("rules.yml", replace("handler: cookie_session}], authorizer: {handler: allow}", "handler: noop}], authorizer: {handler: deny}"))
	require.Equal(t, 403, r.decide("/page").Status)
	close(release)
	require.Equal(t, engine.Allowed, (<-answered).Outcome)
}

func TestOverlappingRulesAreShownWhereOperatorsLook(t *testing.T) {
	r := newReloading(t, "http://127.0.0.1:1")
	before := testutil.ToFloat64(r.metrics.overlaps.WithLabelValues("found"))
	r.edit("rules.yml", replace("/admin", "/page"))
	require.Equal(t, before+1, testutil.ToFloat64(r.metrics.overlaps.WithLabelValues("found")))
	require.Contains(t, r.logs.String(), `rules \"admin\" and \"web\" both match GET http://a/page`)
	handler, _ := ops(r.engine, r.metrics, false)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rules", nil))
	require.Contains(t, w.Body.String(), `"overlaps":[{"rule":"web","method":"GET","url":"http://a/page"}]`)
}
