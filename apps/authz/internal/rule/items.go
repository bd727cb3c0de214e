package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// item is one element of a list of rules, in JSON.
type item struct {
	text []byte
	line int
}

// itemsOf takes a list in JSON or YAML apart.
func itemsOf(data []byte) ([]item, error) {
	if json.Valid(data) {
		return itemsOfJSON(data)
	}
	return itemsOfYAML(data)
}

func itemsOfJSON(data []byte) ([]item, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	first, err := decoder.Token()
	if err != nil || first == nil { // null is an empty list
		return nil, err
	}
	if first != json.Delim('[') {
		return nil, errNoList
	}
	var out []item
	line, counted := 1, 0
	for decoder.More() {
		begin := int(decoder.InputOffset())
		begin += len(data[begin:]) - len(bytes.TrimLeft(data[begin:], ", \t\r\n"))
		line += bytes.Count(data[counted:begin], []byte("\n"))
		counted = begin
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			return nil, err
		}
		out = append(out, item{text, line})
	}
	return out, nil // json.Valid has seen that nothing follows
}

func itemsOfYAML(data []byte) ([]item, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errTwoLists
	}
	// As a whole, so that an alias of what is elsewhere in the list is understood.
	var list any
	if err := document.Decode(&list); err != nil {
		return nil, err
	}
	if list == nil {
		return nil, nil
	}
	values, isList := list.([]any)
	if !isList {
		return nil, errNoList
	}
	var out []item
	for i, value := range values {
		line := 0
		if nodes := document.Content[0].Content; len(nodes) == len(values) {
			line = nodes[i].Line
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, item{text, line})
	}
	return out, nil
}
