package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Decode fills dst from a handler's merged configuration. Unknown keys are refused, as Oathkeeper's
// schemas refuse them: a misspelt "target_audience" must not mean "any audience".
func Decode(config map[string]any, dst any) error {
	encoded, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(dst); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}
