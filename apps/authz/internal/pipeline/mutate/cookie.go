package mutate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/pipeline"
)

// cookie sets request cookies from templates, before those of the client that have other names.
type cookie struct {
	names  []string
	values []*pipeline.Template
}

func newCookie(config map[string]any) (Mutator, error) {
	var c struct {
		Cookies map[string]string `json:"cookies"`
	}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	if c.Cookies == nil {
		return nil, errors.New("cookies: missing")
	}
	var m cookie
	for _, name := range slices.Sorted(maps.Keys(c.Cookies)) {
		if !httpguts.ValidHeaderFieldName(name) { // the two grammars are the same
			return nil, fmt.Errorf("cookies: %q is not a cookie name", name)
		}
		value, err := pipeline.NewTemplate(name, c.Cookies[name])
		if err != nil {
			return nil, fmt.Errorf("cookies.%s: %w", name, err)
		}
		m.names = append(m.names, name)
		m.values = append(m.values, value)
	}
	return &m, nil
}

// cookieByte drops what could end the value and begin another cookie. net/http would drop it too, and
// write a line to the log each time.
func cookieByte(c rune) rune {
	if c < ' ' || c >= 0x7f || c == '"' || c == ';' || c == '\\' {
		return -1
	}
	return c
}

func (m *cookie) Mutate(_ context.Context, r *pipeline.Request, s *pipeline.Session) error {
	out := http.Request{Header: http.Header{}}
	for i, name := range m.names {
		value, err := m.values[i].Render(s)
		if err != nil {
			return err
		}
		out.AddCookie(&http.Cookie{Name: name, Value: strings.Map(cookieByte, value)})
	}
	sent := http.Request{Header: http.Header{"Cookie": r.Header.Values("Cookie")}}
	for _, theirs := range sent.Cookies() {
		if !slices.Contains(m.names, theirs.Name) {
			out.AddCookie(theirs)
		}
	}
	s.Header.Set("Cookie", out.Header.Get("Cookie"))
	return nil
}
