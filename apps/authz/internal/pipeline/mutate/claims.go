package mutate

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse.internal/authz/internal/pipeline"
)

// object reads the claims that a template rendered.
func object(text string) (jwt.MapClaims, error) {
	value, err := pipeline.DecodeJSON(text)
	if err != nil {
		return nil, err
	}
	claims, isObject := value.(map[string]any)
	if !isObject {
		return nil, errors.New("the template renders no JSON object")
	}
	return claims, nil
}
