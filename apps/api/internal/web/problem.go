package web

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/libs/telemetry"
)

// refuse ends a request with a problem.
func refuse(c *gin.Context, err error) {
	Refuse(c.Writer, c.Request, err)
	c.Abort()
}

// Refuse is the one place that renders a problem (RFC 9457). The cause goes to the request's log line.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.From(err)
	note(r.Context(), p)
	body := openapi.Problem{
		Type:   "urn:gatehouse:problem:" + string(p.Code),
		Title:  p.Title(),
		Status: p.Status(),
		Detail: &p.Detail,
		Code:   string(p.Code),
	}
	if id := telemetry.RequestID(r.Context()); id != "" { // the internal port gives none
		body.RequestId = &id
	}
	if p.Fields != nil {
		fields := make([]openapi.FieldProblem, 0, len(p.Fields))
		for _, field := range p.Fields {
			fields = append(fields, openapi.FieldProblem{Field: field.Name, Reason: field.Reason})
		}
		body.Errors = &fields
	}
	header := w.Header()
	switch p.Code {
	case problem.Unauthenticated:
		header.Set("WWW-Authenticate", "Bearer")
	case problem.InsufficientScope: // RFC 6750, section 3.1
		header.Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status())
	_ = json.NewEncoder(w).Encode(body) // the caller is gone: there is nobody to tell
}

// notes are what the handling of a request leaves for its log line.
type notes struct{ problem *problem.Problem }

type notesKey struct{}

func withNotes(ctx context.Context, n *notes) context.Context {
	return context.WithValue(ctx, notesKey{}, n)
}

func note(ctx context.Context, p *problem.Problem) {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		n.problem = p
	}
}
