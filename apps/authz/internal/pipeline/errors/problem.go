package errors

import (
	"net/http"

	"gatehouse.internal/authz/internal/pipeline"
)

// problem is an RFC 9457 document, in the form that the API gives its own errors: a caller need not
// know which of the two refused.
func problem(r *pipeline.Request, d *pipeline.Denial) pipeline.Response {
	return pipeline.Response{
		Status: d.Status,
		Header: http.Header{"Content-Type": {"application/problem+json"}},
		Body: encode(struct {
			Type      string `json:"type"`
			Title     string `json:"title"`
			Status    int    `json:"status"`
			Detail    string `json:"detail"`
			Code      string `json:"code"`
			RequestID string `json:"request_id"`
		}{"urn:gatehouse:problem:" + d.Code, http.StatusText(d.Status), d.Status, d.Detail, d.Code, r.ID}),
	}
}
