package products

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/products/row"
)

// PutProductDocument attaches an OpenAPI document.
func (o *Operations) PutProductDocument(ctx context.Context, r openapi.PutProductDocumentRequestObject) (openapi.PutProductDocumentResponseObject, error) {
	encoded, err := json.Marshal(r.Body)
	if err != nil {
		return nil, err
	}
	if err := describes(ctx, encoded); err != nil {
		return nil, err
	}
	var updated row.Product
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		l, err := lock(ctx, u, r.Product, r.Params.IfMatch)
		if err != nil {
			return err
		}
		if err := l.rows.PutDocument(ctx, row.PutDocumentParams{ProductID: r.Product, Document: encoded}); err != nil {
			return err
		}
		updated, err = l.rows.SetHasDocument(ctx, row.SetHasDocumentParams{ID: r.Product, HasDocument: true})
		l.audited("product.put_document", updated)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.PutProductDocument200JSONResponse{
		Body: answer(updated), Headers: openapi.PutProductDocument200ResponseHeaders{ETag: etag.Of(updated.Version)},
	}, nil
}

// describes refuses what is no OpenAPI document that stands for itself. References elsewhere are not followed: fetching what
// a caller names is how a server is made to ask its neighbours.
func describes(ctx context.Context, encoded []byte) error {
	refused := func(reason string, err error) error {
		return problem.Semantic(problem.Field{Name: "body", Reason: reason}).Because(err)
	}
	if deeper(encoded, deepest) {
		return refused("is nested too deeply", nil)
	}
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = false
	loader.ReadFromURIFunc = func(*openapi3.Loader, *url.URL) ([]byte, error) { return nil, errors.New("not followed") }
	document, err := loader.LoadFromData(encoded)
	if err != nil {
		return refused("is no OpenAPI document, or refers to another file", err)
	}
	if err := document.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation()); err != nil {
		return refused("breaks a rule of OpenAPI", err)
	}
	return nil
}

// deepest is how deeply a document may be nested. Real ones stay far below. The loader reads what is inside of a schema once for
// every schema around it: a megabyte of nothing but nesting, which is 10000 deep at most, would keep a processor busy for
// minutes.
const deepest = 100

// deeper tells whether JSON that is known to be well-formed is nested more deeply than limit.
func deeper(encoded []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(encoded); i++ {
		switch char := encoded[i]; {
		case quoted && char == '\\':
			i++
		case char == '"':
			quoted = !quoted
		case quoted:
		case char == '{' || char == '[':
			if depth++; depth > limit {
				return true
			}
		case char == '}' || char == ']':
			depth--
		}
	}
	return false
}

// DeleteProductDocument detaches the document. Where there is none it is detached already.
func (o *Operations) DeleteProductDocument(ctx context.Context, r openapi.DeleteProductDocumentRequestObject) (openapi.DeleteProductDocumentResponseObject, error) {
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		l, err := lock(ctx, u, r.Product, r.Params.IfMatch)
		if err != nil {
			return err
		}
		if err := l.rows.DeleteDocument(ctx, r.Product); err != nil {
			return err
		}
		updated, err := l.rows.SetHasDocument(ctx, row.SetHasDocumentParams{ID: r.Product, HasDocument: false})
		l.audited("product.delete_document", updated)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.DeleteProductDocument204Response{}, nil
}
