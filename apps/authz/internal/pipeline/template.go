package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// maxRendered bounds, in bytes, what one template may produce: a header or a set of claims, not a page.
const maxRendered = 64 << 10

var functions = templateFunctions()

func templateFunctions() template.FuncMap {
	all := sprig.TxtFuncMap()
	// The environment holds secrets, and a rule file is no place to read them from.
	delete(all, "env")
	delete(all, "expandenv")
	// A look-up without a deadline, of a name that a client may have chosen.
	delete(all, "getHostByName")
	all["print"] = printValue
	all["printIndex"] = printIndex
	return all
}

// printValue writes nothing for a missing value, where text/template writes "<no value>".
func printValue(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprintf("%v", value)
}

func printIndex(list any, i int) string {
	if list == nil {
		return ""
	}
	values := reflect.ValueOf(list)
	if values.Kind() != reflect.Slice || i < 0 || i >= values.Len() {
		return ""
	}
	return fmt.Sprintf("%v", values.Index(i))
}

// namedIn are the functions that the text can call. Each template copies those that it is given, and all
// of them for each template of 10,000 rules would be several hundred megabytes.
func namedIn(text string) template.FuncMap {
	out := template.FuncMap{}
	for name, function := range functions {
		if strings.Contains(text, name) {
			out[name] = function
		}
	}
	return out
}

// Template is a compiled text/template over a Session.
type Template struct {
	compiled *template.Template
	// plain is the whole template when it has no actions.
	plain   string
	isPlain bool
}

// NewTemplate compiles text. It belongs to the rule that was loaded with it, so a reload cannot
// leave an old text behind.
func NewTemplate(name, text string) (*Template, error) {
	compiled, err := template.New(name).Option("missingkey=zero").Funcs(namedIn(text)).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	t := &Template{compiled: compiled}
	if !strings.Contains(text, "{{") && len(text) <= maxRendered {
		t.plain, t.isPlain = text, true
	}
	return t, nil
}

// Render executes the template. An error is the rule's fault or the session's shape, never a pass.
func (t *Template) Render(session *Session) (string, error) {
	if t.isPlain {
		return t.plain, nil
	}
	var out limited
	if err := t.compiled.Execute(&out, session); err != nil {
		return "", RuleError("template: %v", withoutValues(err))
	}
	return out.text.String(), nil
}

// withoutValues keeps a template error's position but not what it was reading: values come from a
// session and may be private.
func withoutValues(err error) error {
	var execution template.ExecError
	if errors.As(err, &execution) {
		if place, _, found := strings.Cut(execution.Error(), ">: "); found {
			return errors.New(place + ">")
		}
		return errors.New("cannot be rendered for this session")
	}
	return err
}

// limited has no method but Write, so nothing can write past the limit.
type limited struct{ text strings.Builder }

var errTooLong = errors.New("renders more than 64 KiB")

func (l *limited) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return l.text.Write(p)
}
