// Package errors writes what a denied caller receives. One file per error handler, named as in the
// rules file, and two forms of our own: problem+json and gRPC.
package errors

import (
	"fmt"
	"net/http"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
)

// Handler writes one form of answer.
type Handler interface {
	// Responsible tells whether this handler's conditions fit.
	Responsible(r *pipeline.Request, d *pipeline.Denial) bool
	Respond(r *pipeline.Request, d *pipeline.Denial) pipeline.Response
}

// New builds the handler of that name from its merged configuration.
func New(name string, config map[string]any) (Handler, error) {
	switch name {
	case "json":
		return newJSON(config)
	case "redirect":
		return newRedirect(config)
	case "www_authenticate":
		return newWWWAuthenticate(config)
	default:
		return nil, fmt.Errorf("error handler %q is %w", name, pipeline.ErrUnsupported)
	}
}

// Responder chooses the form of an answer. It is immutable.
type Responder struct {
	// Fallback are the handlers to try, in order, when the rule names none that fits.
	Fallback []Handler
	// ProblemPrefixes are the paths under which every refusal is problem+json, whatever the rule says.
	ProblemPrefixes []string
}

// Respond writes the denial. handlers are the matched rule's own, or none.
func (p *Responder) Respond(r *pipeline.Request, d *pipeline.Denial, handlers []Handler) pipeline.Response {
	response := p.respond(r, d, handlers)
	if response.Header == nil {
		response.Header = http.Header{}
	}
	for name, values := range d.Header {
		response.Header[name] = values
	}
	if response.Status == http.StatusUnauthorized && response.Header.Get("WWW-Authenticate") == "" {
		response.Header.Set("WWW-Authenticate", "Bearer")
	}
	response.Header.Set("Cache-Control", "no-store")
	return response
}

func (p *Responder) respond(r *pipeline.Request, d *pipeline.Denial, handlers []Handler) pipeline.Response {
	if isGRPC(r) {
		return grpcStatus(d)
	}
	for _, prefix := range p.ProblemPrefixes {
		if strings.HasPrefix(r.Path+"/", prefix) { // "/api/" is for "/api" too
			return problem(r, d)
		}
	}
	var chosen Handler
	for _, handler := range handlers {
		if !handler.Responsible(r, d) {
			continue
		}
		if chosen != nil { // Oathkeeper refuses to choose, and so do we
			return jsonHandler{}.Respond(r, pipeline.RuleError("more than one error handler is responsible"))
		}
		chosen = handler
	}
	if chosen != nil {
		return chosen.Respond(r, d)
	}
	for _, handler := range p.Fallback {
		if handler.Responsible(r, d) {
			return handler.Respond(r, d)
		}
	}
	return jsonHandler{}.Respond(r, pipeline.RuleError("no error handler is responsible"))
}
