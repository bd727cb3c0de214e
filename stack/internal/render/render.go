// Package render fills the templates in docker/ and namespaces/ for one stack, natively or in compose.
// Placeholders are written <% … %>, so that the files stay valid YAML and keep Oathkeeper's own {{ … }}.
package render

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

// Values is what the templates may use, beside the functions below.
type Values struct {
	settings.Settings
	// Dir is the folder in which the service finds its own files.
	Dir string
	// Native tells the templates which way this stack runs; few need to know.
	Native bool
	// Issuer of the identity token.
	Issuer string
	// WebDevelopment serves the web app by `next dev`.
	WebDevelopment bool
}

// Stack is one stack to render for.
type Stack struct {
	Settings       settings.Settings
	Layout         topology.Layout
	Secrets        secrets.Secrets
	WebDevelopment bool
}

type file struct {
	// source relative to the repository; target relative to the service's folder.
	source, target string
	// verbatim files have no placeholders.
	verbatim bool
}

// services lists the files of each service. A service gets a folder of its own (in compose a volume) and
// nothing else: the signing key goes to authz and Oathkeeper only, the schema owner's password to the
// migration only.
var services = map[string][]file{
	"kratos": {
		{source: "docker/ory/kratos/kratos.yml", target: "kratos.yml"},
		{source: "docker/ory/kratos/identity.schema.json", target: "identity.schema.json", verbatim: true},
		{source: "docker/ory/kratos/identity-changed.jsonnet", target: "identity-changed.jsonnet", verbatim: true},
	},
	"hydra": {{source: "docker/ory/hydra/hydra.yml", target: "hydra.yml"}},
	"keto": {
		{source: "docker/ory/keto/keto.yml", target: "keto.yml"},
		{source: "namespaces/gatehouse.keto.ts", target: "namespaces.keto.ts", verbatim: true},
	},
	"oathkeeper": {
		{source: "docker/ory/oathkeeper/oathkeeper.yml", target: "oathkeeper.yml"},
		{source: "docker/ory/oathkeeper/rules.yml", target: "rules.yml"},
	},
	"authz": {
		{source: "docker/authz/authz.yml", target: "authz.yml"},
		{source: "docker/ory/oathkeeper/oathkeeper.yml", target: "oathkeeper.yml"},
		{source: "docker/ory/oathkeeper/rules.yml", target: "rules.yml"},
	},
	"api":      {{source: "docker/api/api.yml", target: "api.yml"}},
	"migrate":  {{source: "docker/api/migrate.yml", target: "migrate.yml"}},
	"postgres": {{source: "docker/postgres/postgresql.conf", target: "postgresql.conf"}},
	"envoy":    {{source: "docker/envoy/envoy.yaml", target: "envoy.yaml"}},
}

// partials are templates that others include by name.
const partials = "docker/ory/oathkeeper/claims.tmpl"

// extras are files that the stack writes itself. service.env is for settings that cannot be in the shared files:
// DEV, which Hydra does not take from a file, and in compose what only the images' generation knows, which would
// keep the natively built generation from starting.
func (s Stack) extras() map[string]map[string]string {
	environment := func(name string) map[string]string {
		lines := fmt.Sprintf("export DEV=%t\n", s.Settings.Development())
		if !s.Layout.IsNative() {
			lines += "export SECRETS_PAGINATION=" + s.Secrets[name+"-pagination"] + "\n"
		}
		return map[string]string{"service.env": lines}
	}
	key := map[string]string{"identity-token.jwks.json": s.Secrets[secrets.IdentityToken]}
	return map[string]map[string]string{
		"kratos":     environment("kratos"),
		"hydra":      environment("hydra"),
		"keto":       environment("keto"),
		"oathkeeper": key,
		"authz":      key,
		"postgres":   {"superuser-password": s.Secrets["postgres"]},
	}
}

// Issuer returns the `iss` of identity tokens: the folder in which their public keys are published.
func Issuer(publicURL string) string { return publicURL + "/.well-known/gatehouse" }

// Write renders every file from the repository at root into out/<service>/. dirs tells where a service will
// see its folder. Nothing is written unless everything rendered; all problems are reported at once.
func (s Stack) Write(root, out string, dir func(service string) string) error {
	rendered := map[string]string{}
	var problems []error
	for service, files := range services {
		for _, f := range files {
			text, err := s.file(root, f, dir(service))
			if err != nil {
				problems = append(problems, err)
				continue
			}
			rendered[filepath.Join(out, service, f.target)] = text
		}
	}
	for service, files := range s.extras() {
		for name, text := range files {
			rendered[filepath.Join(out, service, name)] = text
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	for path, text := range rendered {
		if err := s.write(path, text); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file that only its service can read: in a volume by the group that all services share (each
// sees only its own volume), natively by the owner.
func (s Stack) write(path, text string) error {
	directory, mode := os.FileMode(0o750), os.FileMode(0o440)
	if s.Layout.IsNative() {
		directory, mode = 0o700, 0o600
	}
	if err := os.MkdirAll(filepath.Dir(path), directory); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func (s Stack) file(root string, f file, dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, f.source))
	if err != nil {
		return "", err
	}
	if f.verbatim {
		return string(text), nil
	}
	out, err := s.Text(root, f.source, string(text), dir)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(f.target, ".yml") || strings.HasSuffix(f.target, ".yaml") {
		var any any
		if yaml.Unmarshal([]byte(out), &any) != nil {
			// Not the parser's own words: they may quote a line with a secret.
			return "", fmt.Errorf("%s: what was rendered is not valid YAML", f.source)
		}
	}
	return out, nil
}

// Text renders one template. name is for error messages.
func (s Stack) Text(root, name, text, dir string) (string, error) {
	t := template.New(name).Delims("<%", "%>").Option("missingkey=error")
	t.Funcs(s.functions(t))
	shared, err := os.ReadFile(filepath.Join(root, partials))
	if err != nil {
		return "", err
	}
	if _, err := t.New(partials).Parse(string(shared)); err != nil {
		return "", err
	}
	if _, err := t.Parse(text); err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, Values{
		Settings:       s.Settings,
		Dir:            dir,
		Native:         s.Layout.IsNative(),
		Issuer:         Issuer(s.Settings.PublicURL),
		WebDevelopment: s.WebDevelopment,
	})
	return out.String(), err
}

func (s Stack) functions(t *template.Template) template.FuncMap {
	return template.FuncMap{
		"listen":  s.Layout.Listen,
		"bind":    s.Layout.Bind,
		"host":    s.Layout.Host,
		"port":    s.Layout.Port,
		"address": s.Layout.Address,
		"url":     s.Layout.URL,
		"secret":  s.Secrets.Get,
		"dsn":     func(role string) (string, error) { return DSN(s.Layout, s.Secrets, role) },
		// own is the host of a service of one's own: on this machine, or by its name in compose.
		"own": func(service string) string {
			if s.Layout.IsNative() {
				return "127.0.0.1"
			}
			return service
		},
		"list": func(items ...any) []any { return items },
		"dict": dict,
		// claims renders the identity token's claims template for one audience as a YAML string.
		"claims": func(audience string) (string, error) {
			var out strings.Builder
			err := t.ExecuteTemplate(&out, "identity-claims", audience)
			return strconv.Quote(strings.TrimSpace(out.String())), err
		},
	}
}

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict: a key without a value")
	}
	out := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, isString := pairs[i].(string)
		if !isString {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// databases maps each role to its database.
var databases = map[string]string{
	"kratos": "kratos", "hydra": "hydra", "keto": "keto",
	"gatehouse_owner": "gatehouse", "gatehouse_api": "gatehouse",
}

// DSN returns the connection URL of a database role. The servers read their pool's size from it.
func DSN(layout topology.Layout, all secrets.Secrets, role string) (string, error) {
	database, known := databases[role]
	if !known {
		return "", fmt.Errorf("no database role is called %q", role)
	}
	password, err := all.Get("db-" + role)
	if err != nil {
		return "", err
	}
	address, err := layout.Address("postgres")
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Host: address, Path: "/" + database}
	query := url.Values{"sslmode": {"disable"}}
	if role == database { // Kratos, Hydra and Keto: options of Ory's connector
		query.Set("max_conns", "20")
		query.Set("max_idle_conns", "10")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
