// Package app wires the API together: settings, parts, life cycle. Nothing else reads settings, and nothing
// here decides about requests.
package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/me"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
	"gatehouse.internal/api/internal/web"
	"gatehouse.internal/libs/service"
	"gatehouse.internal/libs/telemetry"
)

// Run serves until ctx ends or a signal arrives.
func Run(ctx context.Context, s Settings, logs io.Writer) error {
	log, err := telemetry.NewLogger(logs, "api", s.Log.Level)
	if err != nil {
		return err
	}
	slog.SetDefault(log) // what net/http has to say of itself becomes JSON as well
	pool, err := database.Open(ctx, s.Database.URL.Reveal(), s.Database.MaxConnections, s.UpstreamTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		database.Metrics(pool))
	servers := newServers(s)
	model := &model{keto: servers.keto}
	if err := model.refuse(ctx, log); err != nil {
		return err
	}
	_, background, err := newIndex(s, servers, pool, log, metrics)
	if err != nil {
		return err
	}
	handler, err := newHandler(s, servers, users.NewDirectory(pool, servers.kratosAdmin, s.UpstreamTimeout), log, metrics)
	if err != nil {
		return err
	}
	ready := func(ctx context.Context) error { return database.Ready(ctx, pool) }
	health := &service.Health{Metrics: metrics, Checks: map[string]service.Check{"postgres": ready, "model": model.ready}}
	dependencies := servers.checks()
	dependencies["model"] = model.check
	dependencies["postgres"] = ready

	internal, err := service.HTTP("internal", s.Internal.Address, newInternal(health, s.InternalSecret.Reveal(), dependencies))
	if err != nil {
		return err
	}
	public, err := service.HTTP("public", s.Public.Address, handler)
	if err != nil {
		return err
	}
	log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("mode", s.Mode),
		slog.String("public", s.Public.Address), slog.String("internal", s.Internal.Address))
	return service.Run(ctx, s.Drain, health.Drain, internal, background, public)
}

// servers are those of the stack that the API speaks to.
type servers struct {
	client       *http.Client
	kratosPublic *ory.KratosPublic
	kratosAdmin  *ory.KratosAdmin
	hydra        *ory.Hydra
	keto         *ory.Keto
	tuples       *ory.KetoIndex
}

func newServers(s Settings) servers {
	client := ory.HTTPClient(s.UpstreamTimeout)
	return servers{
		client:       client,
		kratosPublic: ory.NewKratosPublic(s.Kratos.PublicURL, client),
		kratosAdmin:  ory.NewKratosAdmin(s.Kratos.AdminURL, client),
		hydra:        ory.NewHydra(s.Hydra.AdminURL, client),
		keto:         ory.NewKeto(s.Keto.ReadURL, client),
		tuples:       ory.NewKetoIndex(s.Keto.ReadURL, s.Keto.WriteURL, client),
	}
}

func (s servers) checks() map[string]service.Check {
	return map[string]service.Check{
		"kratos": s.kratosAdmin.Ready,
		"hydra":  s.hydra.Ready,
		"keto":   s.keto.Ready,
	}
}

// admitter finds the user behind a principal.
type admitter interface {
	Admit(ctx context.Context, p principal.Principal) (users.User, error)
}

// newHandler builds what the public port serves.
func newHandler(s Settings, servers servers, directory admitter, log *slog.Logger, metrics prometheus.Registerer) (http.Handler, error) {
	forwarder, err := newForwarder(s, servers)
	if err != nil {
		return nil, err
	}
	verifier := newVerifier(s, servers)
	return web.New(web.Settings{
		Log: log, Metrics: metrics, PublicURL: s.PublicURL, Document: document.Document, Forwarder: forwarder,
		Operations: operations{
			Operations: &consent.Operations{Authority: servers.hydra, Secret: []byte(s.Consent.CSRFSecret.Reveal())},
		},
		Authenticate: func(r *http.Request) (context.Context, error) { return authenticate(r, verifier, directory) },
	})
}

// authenticate finds out who calls, and that they may still.
func authenticate(r *http.Request, verifier principal.Verifier, directory admitter) (context.Context, error) {
	caller, err := verifier.Verify(r)
	if err != nil {
		return nil, err
	}
	ctx := principal.With(r.Context(), caller)
	if caller.Kind != principal.User {
		return ctx, nil
	}
	user, err := directory.Admit(ctx, caller)
	if err != nil {
		return nil, err
	}
	return users.With(ctx, user), nil
}

func newVerifier(s Settings, servers servers) principal.Verifier {
	if s.Mode == direct {
		return &principal.Direct{
			Sessions: servers.kratosPublic, Tokens: servers.hydra,
			Issuer: s.tokenIssuer(), Audience: s.tokenAudience(), Now: time.Now,
		}
	}
	return &principal.Edge{
		Issuer: s.IdentityToken.Issuer, Audience: s.IdentityToken.Audience, Now: time.Now,
		Keys: principal.NewKeys(s.IdentityToken.JWKSURL, servers.client, s.UpstreamTimeout, time.Now),
	}
}

func newForwarder(s Settings, servers servers) (*forward.Forwarder, error) {
	kratos, err := url.Parse(s.Kratos.PublicURL)
	if err != nil {
		return nil, err
	}
	hydra, err := url.Parse(s.Hydra.PublicURL)
	if err != nil {
		return nil, err
	}
	public, err := url.Parse(s.PublicURL)
	if err != nil {
		return nil, err
	}
	return &forward.Forwarder{
		Kratos: kratos, Hydra: hydra, Public: public,
		BehindDoor: s.Mode == edge, Timeout: s.UpstreamTimeout, Transport: servers.client.Transport, Refuse: web.Refuse,
	}, nil
}

// operations are all of the document's.
type operations struct {
	me.Operation
	*consent.Operations
}

// GetPublicHealth says that requests are answered, and nothing about what stands behind.
func (operations) GetPublicHealth(context.Context, openapi.GetPublicHealthRequestObject) (openapi.GetPublicHealthResponseObject, error) {
	return openapi.GetPublicHealth200JSONResponse{Status: openapi.Ok}, nil
}
