// Package web is the HTTP side of the API: routes, middleware and the one renderer of problems. Apart from
// generated code it is the only importer of gin. It decides nothing about callers or resources: it asks.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/libs/telemetry"
)

// bodyLimit is the most that a request may carry.
const bodyLimit = 1 << 20

// Settings are what the routes need.
type Settings struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Spans may be nil.
	Spans *telemetry.Spans
	// BehindDoor says that only the door can reach us, so that it decides which requests are recorded.
	BehindDoor bool
	// PublicURL is the origin that browsers see.
	PublicURL string
	// Document is the OpenAPI document that requests must fit.
	Document []byte
	// Operations are the use cases behind the document's operations.
	Operations openapi.StrictServerInterface
	// Authenticate returns the request's context with the caller in it, or a problem.
	Authenticate func(r *http.Request) (context.Context, error)
	Forwarder    *forward.Forwarder
	// Guard holds callers to what the document demands.
	Guard  *access.Guard
	Limits Limits
	// Index is what a Consistency-Token waits for.
	Index Index
	// TokenSecret tells the Consistency-Tokens that we gave from those that somebody made up. All replicas share it.
	TokenSecret []byte
}

// New returns the public handler.
func New(s Settings) (http.Handler, error) {
	document, err := openapi3.NewLoader().LoadFromData(s.Document)
	if err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	rules, err := access.Read(document)
	if err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.ContextWithFallback = true // operations get the request's context, with its deadline and values
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false // one address per resource
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	engine.Use(identify(s.Spans, s.BehindDoor), observe(s.Log, s.Metrics), recovered, limited)
	engine.NoRoute(func(c *gin.Context) {
		refuse(c, problem.New(problem.NotFound, "There is nothing at this address."))
	})
	engine.NoMethod(func(c *gin.Context) {
		refuse(c, problem.New(problem.MethodNotAllowed, "This address does not take this method."))
	})

	operations := engine.Group("")
	operations.Use(private, byAddress(s.Limits.PerAddress), authenticate(document, s.Authenticate), byPrincipal(s.Limits.PerPrincipal),
		sameOrigin(s.PublicURL), fits(document), describe(document), consistent(s.Index, s.TokenSecret), admitted(document, rules, s.Guard))
	openapi.RegisterHandlersWithOptions(operations,
		openapi.NewStrictHandlerWithOptions(s.Operations, nil, openapi.StrictGinServerOptions{
			RequestErrorHandlerFunc: func(c *gin.Context, err error) { refuse(c, unfit(err)) },
			HandlerErrorFunc:        ended,
			// The answer may have begun: nothing more can be said to the caller.
			ResponseErrorHandlerFunc: func(c *gin.Context, err error) { _ = c.Error(err) },
		}),
		openapi.GinServerOptions{ErrorHandler: func(c *gin.Context, _ error, _ int) {
			refuse(c, problem.Invalid()) // a parameter; the error's text may repeat its value
		}})

	for _, ending := range forward.Endings() {
		engine.Handle(ending.Method, ending.Path, gin.WrapH(s.Forwarder.Handler(ending)))
	}
	return engine, declared(engine, document)
}

// ended is what an operation that gave no answer of its own is answered.
func ended(c *gin.Context, err error) {
	if replay, ok := errors.AsType[*change.Replay](err); ok {
		answerAgain(c, replay)
		return
	}
	refuse(c, err)
}

// declared fails when a route under /api is missing from the document: it would be neither checked nor
// known to need a caller.
func declared(engine *gin.Engine, document *openapi3.T) error {
	var problems []error
	for _, route := range engine.Routes() {
		if strings.HasPrefix(route.Path, "/api/") && operation(document, route.Method, route.Path) == nil {
			problems = append(problems, fmt.Errorf("%s %s is not in the openapi document", route.Method, route.Path))
		}
	}
	return errors.Join(problems...)
}

// operation finds the document's operation for a route template.
func operation(document *openapi3.T, method, template string) *openapi3.Operation {
	item := document.Paths.Value(documented(template))
	if item == nil {
		return nil
	}
	return item.GetOperation(method)
}

// documented writes a route template as the document does: {id} for :id.
func documented(template string) string {
	segments := strings.Split(template, "/")
	for i, segment := range segments {
		if name, found := strings.CutPrefix(segment, ":"); found {
			segments[i] = "{" + name + "}"
		}
	}
	return strings.Join(segments, "/")
}
