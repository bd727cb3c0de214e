package mutate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// object reads a JSON object and refuses a key that occurs twice, in any case, since many readers take
// "Type" for "type". text/template does not escape, so a person named `x","type":"client` could
// otherwise replace a claim of the template. This cannot see a claim that was added; unescaped warns of
// such templates. Errors do not repeat the text, which is about a person.
func object(text string) (jwt.MapClaims, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("the template renders no JSON object")
	}
	claims := jwt.MapClaims{}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		key, isKey := token.(string)
		if err != nil || !isKey {
			return nil, errors.New("the template renders broken JSON")
		}
		if seen[strings.ToLower(key)] {
			return nil, fmt.Errorf("%.40q occurs twice", key)
		}
		seen[strings.ToLower(key)] = true
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, errors.New("the template renders broken JSON")
		}
		claims[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("the template renders broken JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return claims, nil
}

// control are the words of actions that write nothing themselves.
var control = map[string]bool{
	"if": true, "else": true, "end": true, "range": true, "with": true, "define": true, "block": true, "template": true,
	"break": true, "continue": true,
}

// unescaped lists the actions of a claims template that write between quotes. It reads the text and not
// the parse tree, which is good enough for a warning.
func unescaped(text string) []string {
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
