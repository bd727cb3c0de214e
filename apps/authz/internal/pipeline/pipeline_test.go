package pipeline_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

func request(header http.Header) *pipeline.Request {
	return &pipeline.Request{
		Method: "GET", Scheme: "https", Host: "api.example", Path: "/a%20b/c", Query: "q=1", Header: header,
	}
}

func render(t *testing.T, text string, session *pipeline.Session) (string, error) {
	t.Helper()
	compiled, err := pipeline.NewTemplate("test", text)
	require.NoError(t, err)
	return compiled.Render(session)
}

func TestTemplatesBehaveAsOathkeepers(t *testing.T) {
	session := pipeline.NewSession(request(http.Header{"X-Tenant": {"t1"}}), []string{"first", "", "third"})
	session.Subject = "ann"
	session.Extra = map[string]any{"identity": map[string]any{"traits": map[string]any{"email": "a@b.c"}}, "roles": []any{"x", "y"}}

	for text, want := range map[string]string{
		"{{ .Subject }}": "ann",
		"{{ print .Extra.identity.traits.email }}":                               "a@b.c",
		"{{ .Extra.missing }}":                                                   "<no value>",
		"{{ print .Extra.missing }}":                                             "",
		"{{ if .Extra.nobody }}{{ .Extra.nobody.x }}{{ end }}":                   "",
		"{{ printIndex .MatchContext.RegexpCaptureGroups 2 }}":                   "third",
		"{{ printIndex .MatchContext.RegexpCaptureGroups 9 }}":                   "",
		"{{ printIndex .MatchContext.RegexpCaptureGroups (sub 0 1 | int) }}":     "",
		"{{ printIndex .Extra.missing 0 }}":                                      "",
		"{{ .MatchContext.URL.Path }}?{{ .MatchContext.URL.RawQuery }}":          "/a%20b/c?q=1",
		"{{ .MatchContext.Method }} {{ .MatchContext.Header.Get \"X-Tenant\" }}": "GET t1",
		"{{ .Extra.roles | toJson }}":                                            `["x","y"]`,
		"{{ upper .Subject }}":                                                   "ANN",
	} {
		got, err := render(t, text, session)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestTemplateOverNilIsARuleErrorWithoutValues(t *testing.T) {
	session := pipeline.NewSession(request(nil), nil)
	session.Extra = map[string]any{"secret": "hunter2"}
	for _, text := range []string{"{{ .Extra.a.b }}", `{{ fail .Extra.secret }}`, `{{ index .Extra.secret "x" }}`} {
		_, err := render(t, text, session)
		var denial *pipeline.Denial
		require.ErrorAs(t, err, &denial)
		require.Equal(t, http.StatusInternalServerError, denial.Status)
		require.Equal(t, pipeline.CodeRuleError, denial.Code)
		require.NotContains(t, denial.Error(), "hunter2")
	}
}

func TestTemplatesCanReachNothingOutside(t *testing.T) {
	for _, text := range []string{`{{ env "HOME" }}`, `{{ expandenv "$HOME" }}`, `{{ getHostByName "h" }}`} {
		_, err := pipeline.NewTemplate("test", text)
		require.Error(t, err)
	}
}

func TestTemplateOutputIsBounded(t *testing.T) {
	_, err := render(t, `{{ repeat 70000 "x" }}`, pipeline.NewSession(request(nil), nil))
	require.ErrorContains(t, err, "64 KiB")
}

func TestUnknownConfigurationKeyIsRefused(t *testing.T) {
	var c struct {
		Known string `json:"known"`
	}
	require.NoError(t, pipeline.Decode(map[string]any{"known": "x"}, &c))
	require.ErrorContains(t, pipeline.Decode(map[string]any{"knwon": "x"}, &c), "knwon")
	require.Error(t, pipeline.Decode(map[string]any{"known": 7}, &c))
}

func TestCookiesAreFoundByName(t *testing.T) {
	r := request(http.Header{"Cookie": {`a=1; session="x=y"`, "b=2"}})
	for name, want := range map[string]string{"a": "1", "session": "x=y", "b": "2"} {
		got, found := r.Cookie(name)
		require.True(t, found)
		require.Equal(t, want, got)
	}
	_, found := r.Cookie("A")
	require.False(t, found, "cookie names are case-sensitive")
	require.True(t, r.HasCookies())
	require.False(t, request(http.Header{"Cookie": {""}}).HasCookies())
	// As Oathkeeper reads them: a name alone is a cookie, and what is no name is none.
	require.True(t, request(http.Header{"Cookie": {"a"}}).HasCookies())
	require.False(t, request(http.Header{"Cookie": {"zoë=1"}}).HasCookies())
}

func TestTargetNeverHoldsTheQuery(t *testing.T) {
	r := request(nil)
	r.Query = "x=/api/public/"
	require.Equal(t, "https://api.example/a%20b/c", r.Target())
	require.False(t, strings.Contains(r.Target(), "public"))
}
