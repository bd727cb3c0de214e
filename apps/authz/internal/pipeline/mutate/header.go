package mutate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
)

// header sets request headers from templates.
type header struct {
	names  []string
	values []*pipeline.Template
}

func newHeader(config map[string]any) (Mutator, error) {
	var c struct {
		Headers map[string]string `json:"headers"`
	}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if c.Headers == nil {
		return nil, errors.New("headers: missing")
	}
	var h header
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("headers: %q is not a header name", name)
		}
		value, err := pipeline.NewTemplate(name, c.Headers[name])
		if err != nil {
			return nil, fmt.Errorf("headers.%s: %w", name, err)
		}
		h.names = append(h.names, name)
		h.values = append(h.values, value)
	}
	return &h, nil
}

func (h *header) Mutate(_ context.Context, _ *pipeline.Request, s *pipeline.Session) error {
	for i, name := range h.names {
		value, err := h.values[i].Render(s)
		if err != nil {
			return err
		}
		value = oneLine(value)
		if !httpguts.ValidHeaderFieldValue(value) {
			return pipeline.RuleError("header %s: the value holds control characters", name)
		}
		s.Header.Set(name, value)
	}
	return nil
}

func (h *header) Repeatable() bool {
	return !slices.ContainsFunc(h.values, func(t *pipeline.Template) bool { return !t.Repeatable() })
}

// oneLine does what an HTTP server does with a value of several lines: a name with a line feed in it
// must not begin a header of its own.
func oneLine(value string) string { return strings.TrimSpace(lineEnds.Replace(value)) }

var lineEnds = strings.NewReplacer("\r", " ", "\n", " ")
