package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"gatehouse.internal/api/internal/problem"
)

// The formats that the document relies on. The validator knows none but dates by itself, and an unknown format is
// no demand at all.
func init() {
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewCallbackValidator(func(text string) error {
		id, err := uuid.Parse(text)
		if err == nil && id.String() != text { // one id, one spelling
			err = errors.New("is not the form of a UUID that we write")
		}
		return err
	}))
	openapi3.DefineStringFormatValidator("email", openapi3.NewCallbackValidator(func(text string) error {
		address, err := mail.ParseAddress(text)
		if err == nil && address.Address != text {
			err = errors.New("is more than an address")
		}
		return err
	}))
	openapi3filter.RegisterBodyDecoder("application/json", oneDocument)
}

// oneDocument reads a body that is JSON from its beginning to its end. A decoder of a stream stops after the first document, and
// what is behind it would be read by nobody.
func oneDocument(body io.Reader, header http.Header, schema *openapi3.SchemaRef, encoding openapi3filter.EncodingFn) (any, error) {
	all, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if !json.Valid(all) {
		return nil, &openapi3filter.ParseError{Kind: openapi3filter.KindInvalidFormat, Reason: "not one JSON document"}
	}
	return openapi3filter.JSONBodyDecoder(bytes.NewReader(all), header, schema, encoding)
}

// fits refuses a request that the document does not describe, before any operation sees it.
func fits(document *openapi3.T) gin.HandlerFunc {
	options := &openapi3filter.Options{
		MultiError:         true,
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // authenticate has been there
	}
	return func(c *gin.Context) {
		path := documented(c.FullPath())
		parameters := make(map[string]string, len(c.Params))
		for _, parameter := range c.Params {
			parameters[parameter.Key] = parameter.Value
		}
		err := openapi3filter.ValidateRequest(c.Request.Context(), &openapi3filter.RequestValidationInput{
			Request:    c.Request,
			PathParams: parameters,
			Route: &routers.Route{
				Spec: document, Path: path, PathItem: document.Paths.Value(path),
				Method: c.Request.Method, Operation: operation(document, c.Request.Method, c.FullPath()),
			},
			Options: options,
		})
		if err != nil {
			refuse(c, unfit(err))
		}
	}
}

// unfit turns what validation found into a problem that names the fields. Texts are the schema's, not
// the request's: a value sent is never sent back.
func unfit(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.New(problem.TooLarge, "The body is too large.").Because(tooLarge)
	}
	fields := fieldsOf(err, "")
	if len(fields) == 0 {
		fields = []problem.Field{{Name: "body", Reason: "is not the JSON that is expected"}}
	}
	return problem.Invalid(fields...)
}

func fieldsOf(err error, where string) []problem.Field {
	switch e := err.(type) { //nolint:errorlint // a tree of errors is walked node by node
	case openapi3.MultiError:
		var out []problem.Field
		for _, inner := range e {
			out = append(out, fieldsOf(inner, where)...)
		}
		return out
	case *openapi3filter.RequestError:
		if e.Parameter != nil {
			where = e.Parameter.Name
		}
		if inner := fieldsOf(e.Err, where); inner != nil {
			return inner
		}
		if where == "" {
			return nil
		}
		return []problem.Field{{Name: where, Reason: "is missing or has the wrong form"}}
	case *openapi3.SchemaError:
		name := strings.Join(e.JSONPointer(), ".")
		if name == "" {
			name = where
		}
		if name == "" {
			name = "body"
		}
		return []problem.Field{{Name: name, Reason: e.Reason}}
	}
	return nil
}
