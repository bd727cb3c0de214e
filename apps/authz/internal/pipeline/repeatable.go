package pipeline

import (
	"slices"
	"text/template/parse"
)

// repeatable are the functions that return the same for the same arguments, change none of them, and read
// nothing else. A function that is not listed, because it tells the time, makes something up, returns a map's
// keys in any order or is new in a library, only costs time: what its templates write is not kept.
var repeatable = names(
	// text/template's own
	"and", "or", "not", "len", "index", "slice", "html", "js", "urlquery", "printf", "println", "eq", "ne", "lt", "le", "gt", "ge",
	// Oathkeeper's, see functions
	"print", "printIndex",
	// sprig's
	"toJson", "mustToJson", "toRawJson", "mustToRawJson", "toPrettyJson", "fromJson", "mustFromJson",
	"default", "empty", "coalesce", "ternary", "all", "any", "fail",
	"dict", "get", "hasKey", "dig", "pluck", "list", "tuple", "first", "last", "has", "without", "compact", "concat",
	"lower", "upper", "title", "trim", "trimAll", "trimPrefix", "trimSuffix", "trunc", "nospace", "substr", "replace", "repeat",
	"contains", "hasPrefix", "hasSuffix", "cat", "quote", "squote", "join", "split", "splitList", "splitn",
	"regexMatch", "regexFind", "regexReplaceAll", "regexReplaceAllLiteral",
	"toString", "toStrings", "int", "int64", "float64", "atoi", "add", "add1", "sub", "mul", "max", "min",
	"b64enc", "b64dec", "sha1sum", "sha256sum", "sha512sum",
	"kindOf", "kindIs", "typeOf", "typeIs",
)

func names(list ...string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, name := range list {
		out[name] = true
	}
	return out
}

// Repeatable tells that the template reads nothing of a session but Subject and Extra, and writes the same
// each time that these are the same. It says no when in doubt.
func (t *Template) Repeatable() bool {
	return t.isPlain || t.compiled.Tree != nil && reading{}.list(t.compiled.Root)
}

// reading walks a template. narrowed says that the dot is no longer the session but a part of Subject or Extra.
type reading struct{ narrowed bool }

func (r reading) list(list *parse.ListNode) bool {
	return list == nil || !slices.ContainsFunc(list.Nodes, func(n parse.Node) bool { return !r.node(n) })
}

func (r reading) node(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode,
		*parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return true
	case *parse.ActionNode:
		return r.node(n.Pipe)
	case *parse.IfNode:
		return r.node(n.Pipe) && r.list(n.List) && r.list(n.ElseList)
	case *parse.RangeNode:
		return r.node(n.Pipe) && reading{narrowed: true}.list(n.List) && r.list(n.ElseList)
	case *parse.WithNode:
		return r.node(n.Pipe) && reading{narrowed: true}.list(n.List) && r.list(n.ElseList)
	case *parse.PipeNode:
		return !slices.ContainsFunc(n.Cmds, func(c *parse.CommandNode) bool { return !r.node(c) })
	case *parse.CommandNode:
		return !slices.ContainsFunc(n.Args, func(argument parse.Node) bool { return !r.node(argument) })
	case *parse.ChainNode:
		return r.node(n.Node)
	case *parse.IdentifierNode:
		return repeatable[n.Ident]
	case *parse.DotNode:
		return r.narrowed
	case *parse.FieldNode:
		return r.narrowed || ofTheCaller(n.Ident[0])
	case *parse.VariableNode: // $ is the session, any other variable holds what a pipeline gave that was walked
		return n.Ident[0] != "$" || len(n.Ident) > 1 && ofTheCaller(n.Ident[1])
	default: // also {{ template }}, whose dot is anything
		return false
	}
}

func ofTheCaller(field string) bool { return field == "Subject" || field == "Extra" }
