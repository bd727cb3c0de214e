package engine_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/pipeline"
)

const handlers = `authenticators: [{handler: noop}], authorizer: {handler: allow}, mutators: [{handler: noop}]}`

func TestOverlapIsReportedAndItsExampleGetsThe500(t *testing.T) {
	e := load(t, nil, `
- {id: all, match: {url: "https://h/<.*>", methods: [GET, POST]}, `+handlers+`
- {id: one, match: {url: "https://h/one", methods: [POST]}, `+handlers+`
- {id: other, match: {url: "https://other/<(?!x).*>", methods: [POST]}, `+handlers+`
- {id: unclear, match: {url: "https://other/x<.*>", methods: [POST]}, `+handlers)
	snapshot := e.Snapshot()
	require.Equal(t, engine.Overlaps{Found: 1, Undecided: 1}, snapshot.Overlaps())
	require.Equal(t, []string{
		`rules "all" and "one" both match POST https://h/one: such a request gets a 500`,
		`whether rules "other" and "unclear" both match some request is not decided`,
	}, snapshot.OverlapWarnings(5))

	rules := snapshot.Rules()
	require.Equal(t, []engine.Overlap{{Rule: "one", Method: "POST", URL: "https://h/one"}}, rules[0].Overlaps)
	require.Equal(t, []engine.Overlap{{Rule: "all", Method: "POST", URL: "https://h/one"}}, rules[1].Overlaps)
	require.Empty(t, rules[2].Overlaps)

	example, err := url.Parse(rules[0].Overlaps[0].URL)
	require.NoError(t, err)
	got := e.Decide(t.Context(), &pipeline.Request{Method: "POST", Scheme: example.Scheme, Host: example.Host, Path: example.Path, Header: http.Header{}})
	require.Equal(t, http.StatusInternalServerError, got.Status)
	require.Equal(t, pipeline.CodeRuleError, got.Code)
}

func TestOverlapWarningsAreBounded(t *testing.T) {
	var rules strings.Builder
	for i := range 10 {
		fmt.Fprintf(&rules, "- {id: r%d, match: {url: \"https://h/x\", methods: [GET]}, %s\n", i, handlers)
	}
	snapshot := load(t, nil, rules.String()).Snapshot()
	require.Equal(t, 45, snapshot.Overlaps().Found)
	warnings := snapshot.OverlapWarnings(3)
	require.Len(t, warnings, 4)
	require.Contains(t, warnings[3], "42 more pairs")
}
