package oathkeeper

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gatehouse.internal/authz/internal/rule"
)

// Rules reads all repositories. One that cannot be read fails the whole load: serving half of the
// rules could turn a refusal into another rule's permission.
func (c *Config) Rules() ([]rule.Rule, error) {
	var all []rule.Rule
	var problems []error
	for _, repository := range c.AccessRules.Repositories {
		data, err := read(repository)
		if err == nil {
			var rules []rule.Rule
			rules, err = rule.Parse(data)
			all = append(all, rules...)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("access_rules.repositories: %s: %w", label(repository), err))
		}
	}
	return all, errors.Join(problems...)
}

func read(repository string) ([]byte, error) {
	scheme, rest, found := strings.Cut(repository, "://")
	if !found {
		return os.ReadFile(repository) // #nosec G304 -- the operator names the file
	}
	switch scheme {
	case "file":
		return ReadFileURL(repository)
	case "inline":
		return base64.StdEncoding.DecodeString(rest)
	default:
		return nil, fmt.Errorf("%s:// repositories are not supported, only file:// and inline://", scheme)
	}
}

// ReadFileURL reads the file that a file:// URL names. Like Oathkeeper it takes file://rules.yml and
// file://./rules.yml as relative to the working directory.
func ReadFileURL(location string) ([]byte, error) {
	path, isFile := strings.CutPrefix(location, "file://")
	if !isFile {
		return nil, fmt.Errorf("%q is not a file:// URL", location)
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path) // #nosec G304 -- the operator names the file
}

// label names a repository in an error without printing what may be a whole file or a password.
func label(repository string) string {
	if strings.HasPrefix(repository, "inline://") {
		return "inline://..."
	}
	if parsed, err := url.Parse(repository); err == nil {
		return parsed.Redacted()
	}
	return repository
}
