// Package openapi holds the API's contract, which is written before the code: server types are
// generated from it and requests are checked against it.
package openapi

import _ "embed"

// Document is the OpenAPI document.
//
//go:embed openapi.yaml
var Document []byte
