// Package opl checks the permission model before anything relies on it. With one that does not parse, Keto
// stays ready, shows no namespaces and denies every check.
package opl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

var client = &http.Client{Timeout: 10 * time.Second}

type parseError struct {
	Message string `json:"message"`
	Start   struct {
		Line   int `json:"Line"`
		Column int `json:"column"`
	} `json:"start"`
}

// Check asks Keto whether file is valid (at its OPL endpoint) and whether it has loaded a model (at its read
// endpoint). All errors are reported with their line.
func Check(ctx context.Context, oplURL, readURL, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var answer struct {
		Errors []parseError `json:"errors"`
	}
	if err := ask(ctx, http.MethodPost, oplURL+"/opl/syntax/check", text, &answer); err != nil {
		return err
	}
	var problems []error
	for _, one := range answer.Errors {
		problems = append(problems, fmt.Errorf("namespaces/gatehouse.keto.ts:%d:%d: %s", one.Start.Line, one.Start.Column, one.Message))
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	var loaded struct {
		Namespaces []struct {
			Name string `json:"name"`
		} `json:"namespaces"`
	}
	if err := ask(ctx, http.MethodGet, readURL+"/namespaces", nil, &loaded); err != nil {
		return err
	}
	if len(loaded.Namespaces) == 0 {
		return errors.New("keto has loaded no namespace: it would deny every check")
	}
	return nil
}

func ask(ctx context.Context, method, url string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", url, response.Status, text)
	}
	return json.Unmarshal(text, into)
}
