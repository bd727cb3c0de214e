// Package config loads a service's typed settings from one YAML file and the environment.
//
// It is the only importer of viper. Unknown keys are refused, so a misspelt setting is an error at
// start and never a default in production. It must never print a value: an error names the key only.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Secret is a setting that must not reach a log, an error or a page. Every way of printing it gives
// "[redacted]"; call Reveal where the value itself is needed.
type Secret string

const redacted = "[redacted]"

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer, which %#v uses.
func (s Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, so JSON and YAML encoders redact it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Verifier is implemented by configurations that check themselves.
type Verifier interface {
	// Verify reports every problem at once, joined with errors.Join.
	Verify() error
}

// quoted is how the YAML parser shows a value that it cannot take.
var quoted = regexp.MustCompile("`[^`]*`")

// Load fills a copy of defaults from the YAML file at path and from environment variables named
// PREFIX_SECTION_KEY (PREFIX_DATABASE_URL for database.url), which win over the file. The fields
// are named by their `mapstructure` tags. A variable that begins with the prefix but names no
// setting is refused like an unknown key in the file.
func Load[T Verifier](path, prefix string, defaults T) (T, error) {
	var none T
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	if err := v.ReadInConfig(); err != nil {
		return none, fmt.Errorf("read %s: %s", path, quoted.ReplaceAllString(err.Error(), "(a value)"))
	}

	known := keys(reflect.TypeOf(defaults), "")
	var problems []error
	for _, key := range known {
		if err := v.BindEnv(key, variable(prefix, key)); err != nil {
			return none, err
		}
	}
	problems = append(problems, unknownVariables(prefix, known)...)

	out := defaults
	hooks := mapstructure.ComposeDecodeHookFunc(
		mapstructure.StringToTimeDurationHookFunc(),
		mapstructure.StringToSliceHookFunc(","),
	)
	if err := v.UnmarshalExact(&out, viper.DecodeHook(hooks)); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", path, err))
	}
	if len(problems) == 0 {
		problems = append(problems, out.Verify())
	}
	if err := errors.Join(problems...); err != nil {
		return none, err
	}
	return out, nil
}

func variable(prefix, key string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func unknownVariables(prefix string, known []string) []error {
	names := make(map[string]bool, len(known))
	for _, key := range known {
		names[variable(prefix, key)] = true
	}
	var problems []error
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, prefix+"_") && !names[name] {
			problems = append(problems, fmt.Errorf("environment variable %s names no setting", name))
		}
	}
	return problems
}

// keys lists the dotted keys of a struct's leaves.
func keys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("mapstructure")
		if name == "" {
			name = strings.ToLower(field.Name)
		}
		if field.Type.Kind() == reflect.Struct {
			out = append(out, keys(field.Type, prefix+name+".")...)
			continue
		}
		out = append(out, prefix+name)
	}
	return out
}
