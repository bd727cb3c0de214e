package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

var errBrokenJSON = errors.New("the template renders broken JSON")

// DecodeJSON reads what a template rendered and refuses an object with a key that occurs twice, in any
// case, since many readers take "Type" for "type". text/template does not escape, so a person named
// `x","type":"client` could otherwise replace a key of the template. It cannot see a key that was added;
// Unescaped warns of such templates. Errors do not repeat values, which are about a person.
func DecodeJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	value, err := decodeNext(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return value, nil
}

func decodeNext(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, errBrokenJSON
	}
	switch token {
	case json.Delim('{'):
		return decodeObject(decoder)
	case json.Delim('['):
		return decodeList(decoder)
	default:
		return token, nil
	}
}

func decodeObject(decoder *json.Decoder) (any, error) {
	object := map[string]any{}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, isKey := token.(string)
		if err != nil || !isKey {
			return nil, errBrokenJSON
		}
		if seen[strings.ToLower(key)] {
			return nil, fmt.Errorf("%.40q occurs twice", key)
		}
		seen[strings.ToLower(key)] = true
		if object[key], err = decodeNext(decoder); err != nil {
			return nil, err
		}
	}
	return object, end(decoder)
}

func decodeList(decoder *json.Decoder) (any, error) {
	list := []any{}
	for decoder.More() {
		value, err := decodeNext(decoder)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, end(decoder)
}

// end reads the closing bracket.
func end(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return errBrokenJSON
	}
	return nil
}

// control are the words of actions that write nothing themselves.
var control = map[string]bool{
	"if": true, "else": true, "end": true, "range": true, "with": true, "define": true, "block": true, "template": true,
	"break": true, "continue": true,
}

// Unescaped lists the actions of a JSON template that write between quotes. It reads the text and not
// the parse tree, which is good enough for a warning.
func Unescaped(text string) []string {
	var found []string
	quoted := false
	for {
		literal, rest, more := strings.Cut(text, "{{")
		literal = strings.ReplaceAll(literal, `\"`, "")
		quoted = quoted != (strings.Count(literal, `"`)%2 == 1)
		if !more {
			return found
		}
		action, after, _ := strings.Cut(rest, "}}")
		words := strings.Fields(strings.Trim(action, "- "))
		writes := len(words) > 0 && !control[words[0]] && !strings.HasPrefix(words[0], "/*") &&
			(len(words) == 1 || (words[1] != ":=" && words[1] != "="))
		if quoted && writes {
			found = append(found, "{{"+action+"}}")
		}
		text = after
	}
}
