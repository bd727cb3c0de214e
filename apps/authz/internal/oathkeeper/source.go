package oathkeeper

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/rule"
)

const (
	// maxRepository bounds one remote repository: 10,000 long rules are about 8 MiB.
	maxRepository = 32 << 20
	fetchTimeout  = 10 * time.Second
)

// Source is a configuration file and the rule repositories that it names. It is for one goroutine.
type Source struct {
	Path string
	// Interval is how old the last answer of a remote repository may be before it is asked again.
	Interval time.Duration
	Now      func() time.Time
	// Environment is os.Environ(), or nothing where variables must not count.
	Environment []string

	remotes map[string]*remote
}

// remote is what an http(s):// repository last answered.
type remote struct {
	etag  string
	body  []byte
	asked time.Time
}

// Documents are the texts of one configuration, unparsed, so that it is cheap to see that nothing changed.
type Documents struct {
	config       Config
	repositories map[string][]byte
	text         []byte
}

// Equal tells whether two readings found the same texts.
func (d *Documents) Equal(other *Documents) bool {
	return other != nil && bytes.Equal(d.text, other.text) && maps.EqualFunc(d.repositories, other.repositories, bytes.Equal)
}

// Read reads everything or fails: serving half of the rules could turn a refusal into another rule's
// permission. A remote repository that does not answer keeps its last text; stale tells of it.
func (s *Source) Read(ctx context.Context) (documents *Documents, stale, err error) {
	text, err := os.ReadFile(s.Path)
	if err != nil {
		return nil, nil, err
	}
	config, err := parse(text, s.Environment)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	out := &Documents{config: config, repositories: map[string][]byte{}, text: text}
	var problems, outdated []error
	for _, repository := range config.AccessRules.Repositories {
		data, late, err := s.repository(ctx, repository)
		if err != nil {
			problems = append(problems, repositoryError(repository, err))
		}
		if late != nil {
			outdated = append(outdated, repositoryError(repository, late))
		}
		out.repositories[repository] = data
	}
	s.forget(config.AccessRules.Repositories)
	return out, errors.Join(outdated...), errors.Join(problems...)
}

// Parse reads the rules. A text that cannot be parsed fails the whole.
func (d *Documents) Parse() (Config, []rule.Rule, error) {
	var all []rule.Rule
	var problems []error
	for _, repository := range d.config.AccessRules.Repositories {
		rules, err := rule.Parse(d.repositories[repository])
		if err != nil {
			problems = append(problems, repositoryError(repository, err))
		}
		for i := range rules {
			rules[i].Place = fmt.Sprintf("%s:%d", label(repository), rules[i].Line)
		}
		all = append(all, rules...)
	}
	return d.config, all, errors.Join(problems...)
}

func (s *Source) repository(ctx context.Context, repository string) (data []byte, stale, err error) {
	scheme, rest, found := strings.Cut(repository, "://")
	if !found {
		data, err = os.ReadFile(repository) // #nosec G304 -- the operator names the file
		return data, nil, err
	}
	switch scheme {
	case "file":
		data, err = ReadFileURL(repository)
	case "inline":
		data, err = base64.StdEncoding.DecodeString(rest)
	case "http", "https":
		return s.remote(ctx, repository)
	default:
		err = fmt.Errorf("%s:// repositories are not supported, only file://, inline://, http:// and https://", scheme)
	}
	return data, nil, err
}

func (s *Source) remote(ctx context.Context, location string) (data []byte, stale, err error) {
	last := s.remotes[location]
	if last != nil && s.Now().Sub(last.asked) < s.Interval {
		return last.body, nil, nil
	}
	next, err := fetch(ctx, location, last)
	switch {
	case err == nil:
	case last != nil:
		next, stale, err = &remote{etag: last.etag, body: last.body}, err, nil
	default:
		return nil, nil, err
	}
	next.asked = s.Now()
	if s.remotes == nil {
		s.remotes = map[string]*remote{}
	}
	s.remotes[location] = next
	return next.body, stale, err
}

// forget drops what the configuration no longer names.
func (s *Source) forget(wanted []string) {
	kept := map[string]*remote{}
	for _, location := range wanted {
		if known := s.remotes[location]; known != nil {
			kept[location] = known
		}
	}
	s.remotes = kept
}

var repositories = &http.Client{Timeout: fetchTimeout}

// fetch asks for what is newer than last, which may be nil.
func fetch(ctx context.Context, location string, last *remote) (*remote, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, errors.New("is not a URL") // the parser's error would quote a password in it
	}
	if last != nil && last.etag != "" {
		request.Header.Set("If-None-Match", last.etag)
	}
	response, err := repositories.Do(request)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotModified && last != nil {
		return &remote{etag: last.etag, body: last.body}, nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRepository+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(body) > maxRepository {
		return nil, errors.New("is longer than 32 MiB")
	}
	return &remote{etag: response.Header.Get("ETag"), body: body}, nil
}

// cause drops the URL that net/http puts before its errors: it may hold a password.
func cause(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
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

// repositoryError names the repository.
func repositoryError(repository string, err error) error {
	return fmt.Errorf("access_rules.repositories: %s: %w", label(repository), err)
}

// label is the repository without what may be a whole file or a password.
func label(repository string) string {
	scheme, rest, found := strings.Cut(repository, "://")
	switch {
	case !found:
		return repository
	case scheme == "file":
		return rest
	}
	if parsed, bad := url.Parse(repository); bad == nil && scheme != "inline" {
		return parsed.Redacted()
	}
	return scheme + "://..."
}
