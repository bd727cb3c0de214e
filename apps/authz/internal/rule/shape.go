package rule

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	globsyntax "github.com/gobwas/glob/syntax"
	"github.com/gobwas/glob/syntax/ast"
)

// anything matches whatever an expression may match that is no regular one.
const anything = `(?s:.*)`

// shapeOf returns an expression for Go's engine that matches all that the given one does.
func shapeOf(expression string) string {
	if _, err := syntax.Parse(expression, syntax.Perl); err != nil || ambiguous(expression) {
		return anything
	}
	return "(?:" + expression + ")"
}

// globShape returns the regular expression that a glob is.
func globShape(text string) string {
	tree, err := globsyntax.Parse(text)
	if err != nil {
		return anything
	}
	return globNode(tree)
}

func globNode(node *ast.Node) string {
	children := make([]string, len(node.Children))
	for i, child := range node.Children {
		children[i] = globNode(child)
	}
	switch node.Kind {
	case ast.KindNothing, ast.KindPattern:
		return strings.Join(children, "")
	case ast.KindAnyOf:
		return "(?:" + strings.Join(children, "|") + ")"
	case ast.KindAny:
		return `[^./]*`
	case ast.KindSingle:
		return `[^./]`
	}
	switch value := node.Value.(type) {
	case ast.Text:
		return regexp.QuoteMeta(value.Text)
	case ast.List:
		var list strings.Builder
		for _, c := range value.Chars {
			fmt.Fprintf(&list, `\x{%x}`, c)
		}
		return class(value.Not, list.String())
	case ast.Range:
		return class(value.Not, fmt.Sprintf(`\x{%x}-\x{%x}`, value.Lo, value.Hi))
	default: // **, and what a later version of the library may know
		return anything
	}
}

func class(not bool, members string) string {
	if not {
		return "[^" + members + "]"
	}
	return "[" + members + "]"
}
