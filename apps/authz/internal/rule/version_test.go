package rule_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/rule"
)

func TestOnlyWhatHasChangedSinceARulesVersionIsMigrated(t *testing.T) {
	retries := rule.Rule{Mutators: []rule.Handler{{Handler: "noop"}, {Handler: "hydrator", Config: map[string]any{
		"retry": map[string]any{"number_of_retries": 3, "delay_in_milliseconds": 50},
	}}}}
	captures := rule.Rule{Authorizer: rule.Handler{Handler: "keto_engine_acp_ory", Config: map[string]any{
		"required_action": "read:$1", "required_resource": "articles:{{ printIndex .MatchContext.RegexpCaptureGroups 0 }}",
	}}}
	plain := rule.Rule{
		Authorizer: rule.Handler{Handler: "remote_json", Config: map[string]any{"required_action": "$1"}},
		Mutators:   []rule.Handler{{Handler: "hydrator", Config: map[string]any{"api": map[string]any{"url": "http://h"}}}},
	}
	for _, c := range []struct {
		version string
		rule    rule.Rule
		want    string
	}{
		{"v0.32.0-beta.1", retries, "the hydrator's retry"},
		{"0.31.0", retries, "the hydrator's retry"},
		{"v0.32.0-beta.2", retries, ""},
		{"v0.32.0", retries, ""},
		{"v0.37.0", captures, "required_action"},
		{"v0.36.0-beta.4", captures, "required_action"},
		{"v0.37.1", captures, ""},
		{"v0.40.7", captures, ""},
		{"", captures, ""},
		{"master", captures, ""},
		{"v0.20.0", plain, ""},
		{"v0.36.0-beta.4+oryOS.10", plain, ""},
	} {
		c.rule.Version = c.version
		got, err := rule.Migration(c.rule)
		require.NoError(t, err, c.version)
		require.Equal(t, c.want, got, c.version)
	}
	for _, version := range []string{"latest", "v1", "0.36", "vv0.40.0"} {
		_, err := rule.Migration(rule.Rule{Version: version})
		require.ErrorContains(t, err, "version", version)
	}
}
