package errors

import (
	"bytes"
	"encoding/json"
	"net/http"

	"gatehouse.internal/authz/internal/pipeline"
)

// jsonHandler writes Oathkeeper's JSON error.
type jsonHandler struct {
	verbose bool
	when    []when
}

func newJSON(config map[string]any) (Handler, error) {
	var c struct {
		Verbose bool   `json:"verbose"`
		When    []when `json:"when"`
	}
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	return jsonHandler{verbose: c.Verbose, when: c.When}, verify(c.When)
}

func (h jsonHandler) Responsible(r *pipeline.Request, d *pipeline.Denial) bool {
	return anyWhen(h.when, r, d)
}

// generic are the texts that a caller sees when the handler is not verbose.
var generic = map[int]string{
	http.StatusBadRequest:          "The request was malformed or contained invalid parameters",
	http.StatusUnauthorized:        "The request could not be authorized",
	http.StatusForbidden:           "The requested action was forbidden",
	http.StatusNotFound:            "The requested resource could not be found",
	http.StatusInternalServerError: "An internal server error occurred, please contact the system administrator",
}

func (h jsonHandler) Respond(r *pipeline.Request, d *pipeline.Denial) pipeline.Response {
	type body struct {
		ID      string `json:"id,omitempty"`
		Code    int    `json:"code"`
		Status  string `json:"status"`
		Request string `json:"request,omitempty"`
		Reason  string `json:"reason,omitempty"`
		Message string `json:"message"`
	}
	b := body{Code: d.Status, Status: http.StatusText(d.Status), Request: r.ID, Message: generic[d.Status]}
	if b.Message == "" {
		b.Message = d.Detail
	}
	if h.verbose {
		b.Reason = d.Reason
	}
	if d.Code == pipeline.CodeStepUp {
		b.ID = d.Code // a login page must tell this 403 from others
	}
	return pipeline.Response{
		Status: d.Status,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   encode(map[string]any{"error": b}),
	}
}

func encode(v any) string {
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		return "" // strings and numbers always encode; the status says no with or without a body
	}
	return out.String()
}
