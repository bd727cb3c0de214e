// Package oathkeeper reads Oathkeeper's own configuration file and the rules it points to, so that
// the file that starts Oathkeeper also configures this service.
package oathkeeper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Config is the part of Oathkeeper's configuration that decides about requests.
type Config struct {
	AccessRules    AccessRules        `yaml:"access_rules"`
	Authenticators map[string]Handler `yaml:"authenticators"`
	Authorizers    map[string]Handler `yaml:"authorizers"`
	Mutators       map[string]Handler `yaml:"mutators"`
	Errors         Errors             `yaml:"errors"`

	// What only Oathkeeper's own servers use. The keys are known, so they are no mistake.
	Serve     any `yaml:"serve"`
	Log       any `yaml:"log"`
	Tracing   any `yaml:"tracing"`
	Profiling any `yaml:"profiling"`
	Version   any `yaml:"version"`
}

// AccessRules says where the rules are and how they match.
type AccessRules struct {
	Repositories     Strings `yaml:"repositories"`
	MatchingStrategy string  `yaml:"matching_strategy"`
}

// Handler is the global configuration of one handler.
type Handler struct {
	Enabled bool           `yaml:"enabled"`
	Config  map[string]any `yaml:"config"`
}

// Errors configures how denials are written.
type Errors struct {
	Fallback []string           `yaml:"fallback"`
	Handlers map[string]Handler `yaml:"handlers"`
}

// Strings is a list that may also be written as one string.
type Strings []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Strings) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = Strings{node.Value}
		return nil
	}
	return node.Decode((*[]string)(s))
}

// The handlers that Oathkeeper knows, whether or not this service has them.
var known = map[string][]string{
	"authenticators": {"anonymous", "noop", "unauthorized", "cookie_session", "bearer_token", "jwt",
		"oauth2_client_credentials", "oauth2_introspection"},
	"authorizers":     {"allow", "deny", "keto_engine_acp_ory", "remote", "remote_json"},
	"mutators":        {"noop", "cookie", "header", "hydrator", "id_token"},
	"errors.handlers": {"json", "redirect", "www_authenticate"},
}

// Parse reads YAML or JSON, which is YAML too, and reports every problem at once.
func Parse(data []byte) (Config, error) { return parse(data, nil) }

// parse lays the environment over the file before it checks anything.
func parse(data []byte, environment []string) (Config, error) {
	var config Config
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, err
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("something follows the first document")
	}
	err := config.overrides(environment)
	config.defaults()
	return config, errors.Join(err, config.verify())
}

// defaults are those of Oathkeeper's schema.
func (c *Config) defaults() {
	if c.AccessRules.MatchingStrategy == "" {
		c.AccessRules.MatchingStrategy = "regexp"
	}
	if len(c.Errors.Fallback) == 0 {
		c.Errors.Fallback = []string{"json"}
	}
	if _, set := c.Errors.Handlers["json"]; !set {
		c.Errors.Handlers = maps.Clone(c.Errors.Handlers)
		if c.Errors.Handlers == nil {
			c.Errors.Handlers = map[string]Handler{}
		}
		c.Errors.Handlers["json"] = Handler{Enabled: true}
	}
}

func (c *Config) verify() error {
	var problems []error
	if !slices.Contains([]string{"regexp", "glob"}, c.AccessRules.MatchingStrategy) {
		problems = append(problems, fmt.Errorf("access_rules.matching_strategy: %q is neither regexp nor glob",
			c.AccessRules.MatchingStrategy))
	}
	if len(c.AccessRules.Repositories) == 0 {
		problems = append(problems, errors.New("access_rules.repositories: missing"))
	}
	sections := map[string]map[string]Handler{
		"authenticators":  c.Authenticators,
		"authorizers":     c.Authorizers,
		"mutators":        c.Mutators,
		"errors.handlers": c.Errors.Handlers,
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for _, name := range slices.Sorted(maps.Keys(sections[section])) {
			if !slices.Contains(known[section], name) {
				problems = append(problems, fmt.Errorf("%s.%s: Oathkeeper has no such handler", section, name))
			}
		}
	}
	return errors.Join(problems...)
}

// Merge lays a rule's configuration over the global one, key by key and as deep as both are maps.
// Lists are replaced.
func Merge(global, rule map[string]any) map[string]any {
	out := make(map[string]any, len(global)+len(rule))
	maps.Copy(out, global)
	for key, value := range rule {
		below, isMap := out[key].(map[string]any)
		above, alsoMap := value.(map[string]any)
		if isMap && alsoMap {
			value = Merge(below, above)
		}
		out[key] = value
	}
	return out
}
