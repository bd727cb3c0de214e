package oathkeeper

import (
	_ "embed" // for variables.txt
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Oathkeeper names its variables after the keys of its schema: AUTHENTICATORS_JWT_CONFIG_JWKS_URLS is
// authenticators.jwt.config.jwks_urls. Underscores stand for dots and for themselves, so a name can only
// be read with the list of keys: it is here, with their types, for the sections that decide.
//
//go:embed variables.txt
var variables string

// overrides lays the environment over the file, as Oathkeeper does. An empty variable counts as set.
func (c *Config) overrides(environment []string) error {
	values := map[string]string{}
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	var problems []error
	for line := range strings.Lines(variables) {
		key, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		text, set := values[name]
		if !set {
			continue
		}
		value, err := read(kind, text)
		if err == nil {
			err = c.set(strings.Split(key, "."), value)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("environment variable %s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

// read never quotes the text in an error: it may be a secret.
func read(kind, text string) (any, error) {
	switch kind {
	case "boolean":
		value, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("is neither true nor false")
		}
		return value, nil
	case "integer":
		value, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("is not a whole number")
		}
		return value, nil
	case "strings":
		var list []any
		if json.Unmarshal([]byte(text), &list) == nil {
			return list, nil
		}
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list, nil
	case "json":
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return nil, errors.New("is not JSON")
		}
		return value, nil
	default:
		return text, nil
	}
}

// set writes one value. The keys are those of variables.txt and no others.
func (c *Config) set(key []string, value any) error {
	switch strings.Join(key, ".") {
	case "access_rules.repositories":
		return assign(&c.AccessRules.Repositories, value)
	case "access_rules.matching_strategy":
		return assign(&c.AccessRules.MatchingStrategy, value)
	case "errors.fallback":
		return assign(&c.Errors.Fallback, value)
	}
	section, key := c.section(key)
	if *section == nil {
		*section = map[string]Handler{}
	}
	handler := (*section)[key[0]]
	if key[1] == "enabled" {
		handler.Enabled = value == true
	} else {
		handler.Config = with(handler.Config, key[2:], value)
	}
	(*section)[key[0]] = handler
	return nil
}

// section returns the handlers that the key is about, and the key from the handler's name on.
func (c *Config) section(key []string) (*map[string]Handler, []string) {
	switch key[0] {
	case "authenticators":
		return &c.Authenticators, key[1:]
	case "authorizers":
		return &c.Authorizers, key[1:]
	case "mutators":
		return &c.Mutators, key[1:]
	default:
		return &c.Errors.Handlers, key[2:] // errors.handlers.json
	}
}

// with returns a copy of tree in which key is value.
func with(tree map[string]any, key []string, value any) map[string]any {
	out := maps.Clone(tree)
	if out == nil {
		out = map[string]any{}
	}
	if len(key) > 1 {
		below, _ := out[key[0]].(map[string]any)
		value = with(below, key[1:], value)
	}
	out[key[0]] = value
	return out
}

// assign copies a decoded value into a typed field.
func assign(dst, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, dst)
}
