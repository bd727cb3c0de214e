package pipeline_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

// Whatever a template says: no panic, no more than 64 KiB, and an error never quotes the session.
func FuzzTemplatesAreBounded(f *testing.F) {
	for _, seed := range []string{
		"{{ print .Subject }}", "{{ .Extra.a.b }}", `{{ range .Extra.list }}{{ . }}{{ end }}`, `{{ fail .Subject }}`, `{{ index .Extra "a" 1 }}`,
		`{{ printIndex .MatchContext.RegexpCaptureGroups 7 }}`, `{{ .MatchContext.URL.Query.Get "q" }}`, `{{ toJson . }}`, `{{ define "x" }}{{ end }}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		compiled, err := pipeline.NewTemplate("fuzz", text)
		if err != nil {
			return
		}
		s := pipeline.NewSession(request(http.Header{"X-A": {"1"}}), []string{"c"})
		s.Subject = "secret-subject"
		s.Extra = map[string]any{"a": nil, "list": []any{"x", 1.5, true}}
		out, err := compiled.Render(s)
		require.LessOrEqual(t, len(out), 64<<10)
		if err != nil {
			require.NotContains(t, err.Error(), s.Subject)
		}
	})
}
