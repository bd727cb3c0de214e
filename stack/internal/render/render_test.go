package render_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse.internal/stack/internal/render"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

const root = "../../.."

func stack(t *testing.T, layout topology.Layout, gate string) render.Stack {
	t.Helper()
	all, err := secrets.Ensure(filepath.Join(t.TempDir(), "secrets.json"))
	require.NoError(t, err)
	chosen := settings.Default("http://localhost:8080")
	chosen.Gate = gate
	return render.Stack{Settings: chosen, Layout: layout, Secrets: all}
}

func native() topology.Layout {
	ports := map[string]int{}
	for n, endpoint := range topology.Endpoints {
		ports[endpoint.Name] = 20000 + n
	}
	return topology.Native(ports)
}

// written returns what was rendered by its path.
func written(t *testing.T, s render.Stack) map[string]string {
	t.Helper()
	out := t.TempDir()
	require.NoError(t, s.Write(root, out, func(service string) string { return "/config/" + service }))
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(out, path)
		files[name] = string(text)
		return err
	}))
	return files
}

func TestEveryFileRendersForBothWaysAndBothGates(t *testing.T) {
	for name, layout := range map[string]topology.Layout{"native": native(), "compose": topology.Compose()} {
		for _, gate := range settings.Gates {
			t.Run(name+"/"+gate, func(t *testing.T) {
				for path, text := range written(t, stack(t, layout, gate)) {
					require.NotContains(t, text, "<%", path)
					require.NotContains(t, text, "<no value>", path)
				}
			})
		}
	}
}

func TestNothingSpeaksOfTracesUnlessAskedTo(t *testing.T) {
	files := written(t, stack(t, native(), "authz"))
	for _, part := range []string{"tracing:", "otlp", "remove: traceparent", "header_to_metadata"} {
		require.NotContains(t, files["envoy/envoy.yaml"], part)
	}
	require.Contains(t, files["authz/authz.yml"], `endpoint: ""`)
	require.Contains(t, files["api/api.yml"], `endpoint: ""`)
}

func TestTheSettingOfTracesReachesEveryPart(t *testing.T) {
	for name, layout := range map[string]topology.Layout{"native": native(), "compose": topology.Compose()} {
		for _, gate := range settings.Gates {
			t.Run(name+"/"+gate, func(t *testing.T) {
				s := stack(t, layout, gate)
				s.Settings.OTLPEndpoint, s.Settings.TraceRatio = "http://collector:4318", 0.25
				files := written(t, s)
				for _, path := range []string{"authz/authz.yml", "api/api.yml"} {
					var service struct {
						Tracing struct {
							Endpoint string  `yaml:"endpoint"`
							Ratio    float64 `yaml:"ratio"`
						} `yaml:"tracing"`
					}
					require.NoError(t, yaml.Unmarshal([]byte(files[path]), &service), path)
					require.Equal(t, "http://collector:4318", service.Tracing.Endpoint, path)
					require.InDelta(t, 0.25, service.Tracing.Ratio, 0, path)
				}
				envoy := files["envoy/envoy.yaml"]
				for _, part := range []string{"- remove: traceparent\n", "- remove: tracestate\n", "random_sampling: {value: 25}", "http://collector:4318/v1/traces", "name: otlp\n"} {
					require.Contains(t, envoy, part)
				}
			})
		}
	}
}

func TestASecretReachesOnlyTheServiceThatNeedsIt(t *testing.T) {
	s := stack(t, topology.Compose(), "authz")
	files := written(t, s)
	readers := map[string][]string{
		secrets.IdentityToken: {"authz/identity-token.jwks.json", "oathkeeper/identity-token.jwks.json"},
		"db-gatehouse_owner":  {"migrate/migrate.yml"},
		"db-gatehouse_api":    {"api/api.yml"},
		"postgres":            {"postgres/superuser-password"},
		"db-kratos":           {"kratos/kratos.yml"},
		"db-hydra":            {"hydra/hydra.yml"},
		"db-keto":             {"keto/keto.yml"},
		"kratos-cipher":       {"kratos/kratos.yml"},
		"kratos-webhook":      {"kratos/kratos.yml", "api/api.yml"},
		"hydra-system":        {"hydra/hydra.yml"},
		"api-internal":        {"api/api.yml", "authz/authz.yml"},
		"api-keys":            {"api/api.yml", "authz/rules.yml", "oathkeeper/rules.yml"},
		"hydra-webhook":       {"hydra/hydra.yml", "api/api.yml"},
		"api-consent-csrf":    {"api/api.yml"},
	}
	for name, expected := range readers {
		var found []string
		for path, text := range files {
			if strings.Contains(text, s.Secrets[name]) {
				found = append(found, path)
			}
		}
		require.ElementsMatch(t, expected, found, name)
	}
}

func TestTheClaimsNameTheAudienceOfTheRule(t *testing.T) {
	files := written(t, stack(t, topology.Compose(), "authz"))
	var rules []struct {
		ID       string `yaml:"id"`
		Mutators []struct {
			Handler string         `yaml:"handler"`
			Config  map[string]any `yaml:"config"`
		} `yaml:"mutators"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(files["authz/rules.yml"]), &rules))
	require.Equal(t, files["authz/rules.yml"], files["oathkeeper/rules.yml"], "both gates read the same rules")
	for _, rule := range rules {
		for _, mutator := range rule.Mutators {
			if mutator.Handler == "id_token" {
				require.Contains(t, mutator.Config["claims"], `"aud": ["gatehouse-api"]`, rule.ID)
			}
		}
	}
}

// A request that no rule matches is refused, and one that two match is an error.
func TestEveryAddressOfTheAPIHasOneRule(t *testing.T) {
	var rules []struct {
		ID    string `yaml:"id"`
		Match struct {
			URL     string   `yaml:"url"`
			Methods []string `yaml:"methods"`
		} `yaml:"match"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(written(t, stack(t, topology.Compose(), "authz"))["authz/rules.yml"]), &rules))
	var document struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	text, err := os.ReadFile(filepath.Join(root, "apps/api/openapi/openapi.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &document))
	require.NotEmpty(t, document.Paths)
	for path, operations := range document.Paths {
		for method, node := range operations {
			if method == "parameters" {
				continue
			}
			var operation struct {
				Access struct {
					Anyone bool `yaml:"anyone"`
				} `yaml:"x-access"`
			}
			require.NoError(t, node.Decode(&operation))
			var matching []string
			for _, rule := range rules {
				if pattern(rule.Match.URL).MatchString("https://a.example/"+strings.TrimPrefix(path, "/")) && slices.Contains(rule.Match.Methods, strings.ToUpper(method)) {
					matching = append(matching, rule.ID)
				}
			}
			want := "api"
			if operation.Access.Anyone {
				want = "api-public"
			}
			require.Equal(t, []string{want}, matching, "%s %s", method, path)
		}
	}
}

// pattern reads a rule's URL: regular expressions stand between < and >.
func pattern(url string) *regexp.Regexp {
	var out strings.Builder
	for _, part := range regexp.MustCompile(`<([^<>]+)>|([^<>]+)`).FindAllStringSubmatch(url, -1) {
		if part[1] != "" {
			out.WriteString("(" + part[1] + ")")
			continue
		}
		out.WriteString(regexp.QuoteMeta(part[2]))
	}
	return regexp.MustCompile("^" + out.String() + "$")
}

func TestAnUnknownNameIsAnError(t *testing.T) {
	s := stack(t, topology.Compose(), "authz")
	for _, text := range []string{`<% url "nowhere" %>`, `<% secret "none" %>`, `<% .Missing %>`, `<% dsn "root" %>`} {
		_, err := s.Text(root, "test", text, "/etc")
		require.Error(t, err, text)
	}
}

func TestNativeFilesAreReadableByTheirOwnerOnly(t *testing.T) {
	out := t.TempDir()
	require.NoError(t, stack(t, native(), "authz").Write(root, out, func(string) string { return out }))
	info, err := os.Stat(filepath.Join(out, "kratos", "kratos.yml"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
