package server

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// docs/authz.md is the reference of settings and metrics: what is not in it is not documented.
func TestEverySettingAndMetricIsInTheReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/authz.md"))
	require.NoError(t, err)
	for _, key := range keysOf(reflect.TypeFor[Settings](), "") {
		require.Contains(t, string(text), "`"+key+"`")
	}
	s := newStack(t, keepAnswers)
	s.hydra.Close() // an error of a server is counted
	s.requireFailed(call{path: "/api/me", headers: bearer("ory_at_x")})
	found := 0
	for line := range strings.Lines(s.get("/metrics")) {
		if name, isType := strings.CutPrefix(line, "# TYPE authz_"); isType {
			name, _, _ = strings.Cut(name, " ")
			require.Contains(t, string(text), "`authz_"+name)
			found++
		}
	}
	require.Greater(t, found, 6)
}

// keysOf are the settings by their names in the file. A list is one.
func keysOf(settings reflect.Type, prefix string) (keys []string) {
	for i := range settings.NumField() {
		field := settings.Field(i)
		key := prefix + field.Tag.Get("mapstructure")
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[time.Duration]() && field.Type.NumField() > 0 && field.Type.Field(0).IsExported() {
			keys = append(keys, keysOf(field.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}
