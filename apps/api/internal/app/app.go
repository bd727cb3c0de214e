// Package app wires the API together: settings, parts, life cycle. Nothing else reads settings, and nothing
// here decides about requests.
package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/riverqueue/river"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients"
	"gatehouse.internal/api/internal/consent"
	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/forward"
	"gatehouse.internal/api/internal/gateways"
	"gatehouse.internal/api/internal/invitations"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/keys"
	"gatehouse.internal/api/internal/limit"
	"gatehouse.internal/api/internal/mail"
	"gatehouse.internal/api/internal/me"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/organizations"
	"gatehouse.internal/api/internal/ory"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/products"
	"gatehouse.internal/api/internal/prune"
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
	app, err := New(ctx, s, log)
	if err != nil {
		return err
	}
	defer app.Close()
	internal, err := service.HTTP("internal", s.Internal.Address, app.Internal)
	if err != nil {
		return err
	}
	public, err := service.HTTP("public", s.Public.Address, app.Public)
	if err != nil {
		return err
	}
	log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("mode", s.Mode),
		slog.String("public", s.Public.Address), slog.String("internal", s.Internal.Address))
	// They stop in reverse order: the feed lets its followers go before the server waits for them.
	return service.Run(ctx, s.Drain, app.health.Drain, internal, app.background, app.parts.revocations.Part(), public)
}

// App is the service without its sockets.
type App struct {
	// Public is what callers reach through the door, Internal what the stack's other services do.
	Public, Internal http.Handler

	settings   Settings
	parts      parts
	background service.Part
	health     *service.Health
}

// New builds the service. A server that is not there yet stops nothing; one that is the wrong one does.
func New(ctx context.Context, s Settings, log *slog.Logger) (*App, error) {
	spans, err := telemetry.StartSpans(ctx, s.Tracing, "api", log)
	if err != nil {
		return nil, err
	}
	pool, err := database.Open(ctx, s.Database.URL.Reveal(), s.Database.MaxConnections, s.UpstreamTimeout, database.Traced(spans))
	if err != nil {
		spans.Stop()
		return nil, err
	}
	app, err := build(ctx, s, pool, log, spans)
	if err != nil {
		pool.Close()
		spans.Stop()
	}
	return app, err
}

func build(ctx context.Context, s Settings, pool *pgxpool.Pool, log *slog.Logger, spans *telemetry.Spans) (*App, error) {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		database.Metrics(pool))
	servers := newServers(s)
	metrics.MustRegister(ory.Metrics(servers.client))
	model := &model{keto: servers.keto}
	if err := model.refuse(ctx, log); err != nil {
		return nil, err
	}
	parts, err := newParts(s, servers, pool, log, metrics)
	if err != nil {
		return nil, err
	}
	parts.spans = spans
	background, err := parts.work(s, log)
	if err != nil {
		return nil, err
	}
	public, err := newHandler(s, parts, log, metrics)
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error { return database.Ready(ctx, pool) }
	health := &service.Health{Metrics: metrics, Checks: map[string]service.Check{"postgres": ready, "model": model.ready}}
	dependencies := servers.checks()
	dependencies["model"] = model.check
	dependencies["postgres"] = ready
	return &App{
		Public: public, Internal: newInternal(health, s, dependencies, parts.internal(s, log), newChanged(parts.queue)),
		settings: s, parts: parts, background: background, health: health,
	}, nil
}

// Work does the background's work until ctx ends.
func (a *App) Work(ctx context.Context) error {
	return service.Run(ctx, a.settings.Drain, func() {}, a.background)
}

// Converge makes the index show one object's rows now.
func (a *App) Converge(ctx context.Context, object permission.Object) error {
	return a.parts.index.Converge(ctx, object)
}

// Close gives back what New took.
func (a *App) Close() {
	a.parts.pool.Close()
	a.parts.spans.Stop()
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

// keyring knows API keys.
type keyring interface {
	principal.APIKeys
	// Admit fills in whose key the principal's is; the user is there when it is a person's.
	Admit(ctx context.Context, p principal.Principal) (principal.Principal, *users.User, error)
}

// clientele knows OAuth 2.0 clients.
type clientele interface {
	// Admit refuses clients that are disabled or deleted.
	Admit(ctx context.Context, id string) error
	// Issuable tells whether Hydra may issue a token to a client.
	Issuable(ctx context.Context, id string) error
}

// parts are what the service is made of.
type parts struct {
	servers
	pool      *pgxpool.Pool
	queue     *jobs.Queue
	directory admitter
	keys      keyring
	clients   clientele
	people    people
	index     *converge.Converger
	rows      *permission.Rows
	changes   *change.Changes
	// revocations are what the door follows.
	revocations *feed.Feed
	spans       *telemetry.Spans
}

func newParts(s Settings, servers servers, pool *pgxpool.Pool, log *slog.Logger, metrics prometheus.Registerer) (parts, error) {
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		return parts{}, err
	}
	index := converge.New(pool, servers.tuples, queue, metrics)
	// Waiting for a lock, and then for Keto.
	changes := &change.Changes{Pool: pool, Index: index, Jobs: queue, Timeout: 2 * s.UpstreamTimeout}
	people := newPeople(s, servers, pool, index, queue, changes)
	return parts{
		servers: servers, pool: pool, queue: queue, index: index, rows: permission.NewRows(pool),
		people: people, directory: people.directory, changes: changes,
		keys:    keys.NewRegistry(pool, people.directory, log, s.UpstreamTimeout),
		clients: clients.NewRegistry(pool, servers.hydra, log, s.UpstreamTimeout), revocations: feed.New(pool, log, s.UpstreamTimeout),
	}, nil
}

// work is what happens in the background: the workers of all parts, and what starts by the clock.
func (p parts) work(s Settings, log *slog.Logger) (service.Part, error) {
	workers := river.NewWorkers()
	p.index.Register(workers, converge.ReconcileOptions{Apply: true, MaxDeletedShare: s.Reconcile.MaxDeletedShare})
	prune.Register(workers, p.pool)
	users.Register(workers, p.people.saga, p.people.sweep)
	clients.Register(workers, clients.NewKeeper(p.pool, p.hydra, log, s.Clients.MaxOrphans, time.Now))
	sender, err := mail.NewSMTP(s.SMTP, time.Now)
	if err != nil {
		return service.Part{}, err
	}
	invitations.Register(workers, &invitations.Post{Pool: p.pool, Sender: sender, PublicURL: s.PublicURL, Now: time.Now})
	return jobs.Part(p.pool, log, jobs.Work{
		Workers: workers,
		Periodic: []*river.PeriodicJob{
			converge.Periodic(s.Reconcile.Interval), prune.Periodic(), users.Periodic(s.Sweep.Interval), clients.Periodic(s.Clients.Interval),
		},
		// A job that converges holds a connection meanwhile; requests converge, too.
		Parallel: max(2, int(s.Database.MaxConnections)/4),
	})
}

// internal are the routes for other services of the stack.
func (p parts) internal(s Settings, log *slog.Logger) map[string]route {
	hook := clients.Hook{Issuable: p.clients.Issuable, Person: p.directory.Admit, Refuse: web.Refuse, Log: log}
	return map[string]route{
		"GET /internal/revocations":      {s.InternalSecret, p.revocations.Handler(web.Refuse)},
		"POST /internal/api-keys/verify": {s.APIKeys.GateSecret, keys.Handler(p.keys, web.Refuse)},
		"POST /internal/hydra/token":     {s.Hydra.WebhookSecret, hook},
	}
}

// newHandler builds what the public port serves.
func newHandler(s Settings, p parts, log *slog.Logger, metrics prometheus.Registerer) (http.Handler, error) {
	forwarder, err := newForwarder(s, p)
	if err != nil {
		return nil, err
	}
	limits, err := newLimits(s)
	if err != nil {
		return nil, err
	}
	verifier := newVerifier(s, p)
	scopes, err := vocabulary()
	if err != nil {
		return nil, err
	}
	return web.New(web.Settings{
		Log: log, Metrics: metrics, Spans: p.spans, BehindDoor: s.Mode == edge, PublicURL: s.PublicURL, Document: document.Document, Forwarder: forwarder,
		Limits: limits, Index: p.index, TokenSecret: []byte(s.InternalSecret.Reveal()), Guard: &access.Guard{Index: p.keto, Rows: p.rows},
		Operations: operations{
			meOperations: &me.Operations{
				Accounts: p.kratosAdmin, Saga: p.people.saga, Changes: p.changes, Index: p.keto, Now: time.Now,
			},
			userOperations:         &users.Operations{Pool: p.pool, Changes: p.changes, Saga: p.people.saga},
			consentOperations:      &consent.Operations{Authority: p.hydra, Secret: []byte(s.Consent.CSRFSecret.Reveal())},
			organizationOperations: &organizations.Operations{Pool: p.pool, Changes: p.changes},
			gatewayOperations:      &gateways.Operations{Pool: p.pool, Changes: p.changes},
			productOperations:      &products.Operations{Pool: p.pool, Changes: p.changes, Rows: p.rows},
			auditOperations:        &audit.Operations{Pool: p.pool},
			keyOperations: &keys.Operations{
				Pool: p.pool, Changes: p.changes, Scopes: scopes, Environment: environment(s.PublicURL),
			},
			clientOperations: &clients.Operations{
				Pool: p.pool, Changes: p.changes, Server: p.hydra, Scopes: scopes, Audience: s.tokenAudience(),
			},
			invitationOperations: &invitations.Operations{
				Pool: p.pool, Changes: p.changes, Identities: p.kratosAdmin, Settings: s.Invitations, Now: time.Now,
			},
		},
		Authenticate: func(r *http.Request) (context.Context, error) { return authenticate(r, verifier, p) },
	})
}

func newLimits(s Settings) (web.Limits, error) {
	principals, err := limit.NewMemory(limit.Policy(s.Limits.PerPrincipal), time.Now)
	if err != nil {
		return web.Limits{}, err
	}
	addresses, err := limit.NewMemory(limit.Policy(s.Limits.PerAddress), time.Now)
	return web.Limits{PerPrincipal: principals, PerAddress: addresses}, err
}

// vocabulary is every scope that some operation of the document demands.
func vocabulary() ([]string, error) {
	parsed, err := openapi3.NewLoader().LoadFromData(document.Document)
	if err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	rules, err := access.Read(parsed)
	if err != nil {
		return nil, fmt.Errorf("openapi document: %w", err)
	}
	return rules.Scopes(), nil
}

// environment is what API keys say of where they belong: plain http is a development stack's.
func environment(publicURL string) string {
	if strings.HasPrefix(publicURL, "http://") {
		return "dev"
	}
	return "live"
}

// authenticate finds out who calls, and that they may still.
func authenticate(r *http.Request, verifier principal.Verifier, p parts) (context.Context, error) {
	caller, err := verifier.Verify(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	switch caller.Kind {
	case principal.User:
		user, err := p.directory.Admit(ctx, caller)
		if err != nil {
			return nil, err
		}
		ctx = users.With(ctx, user)
	case principal.APIKey:
		var owner *users.User
		if caller, owner, err = p.keys.Admit(ctx, caller); err != nil {
			return nil, err
		}
		if owner != nil {
			ctx = users.With(ctx, *owner)
		}
	}
	if caller.ClientID != "" { // itself, or a person through it
		if err := p.clients.Admit(ctx, caller.ClientID); err != nil {
			return nil, err
		}
	}
	return principal.With(ctx, caller), nil
}

func newVerifier(s Settings, p parts) principal.Verifier {
	if s.Mode == direct {
		return &principal.Direct{
			Sessions: p.kratosPublic, Tokens: p.hydra, Keys: p.keys,
			Issuer: s.tokenIssuer(), Audience: s.tokenAudience(), Now: time.Now,
		}
	}
	return &principal.Edge{
		Issuer: s.IdentityToken.Issuer, Audience: s.IdentityToken.Audience, Now: time.Now,
		Keys: principal.NewKeys(s.IdentityToken.JWKSURL, p.client, s.UpstreamTimeout, time.Now),
	}
}

func newForwarder(s Settings, p parts) (*forward.Forwarder, error) {
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
		BehindDoor: s.Mode == edge, Timeout: s.UpstreamTimeout, Transport: p.client.Transport,
		Sessions: p.kratosPublic, Tokens: p.hydra, Publisher: p.revocations, Now: time.Now, Refuse: web.Refuse,
	}, nil
}

// operations are all of the document's. Each package calls its own Operations, so they are embedded under other names.
type operations struct {
	*meOperations
	*userOperations
	*consentOperations
	*organizationOperations
	*gatewayOperations
	*productOperations
	*auditOperations
	*keyOperations
	*clientOperations
	*invitationOperations
}

type (
	meOperations           = me.Operations
	userOperations         = users.Operations
	consentOperations      = consent.Operations
	organizationOperations = organizations.Operations
	gatewayOperations      = gateways.Operations
	productOperations      = products.Operations
	auditOperations        = audit.Operations
	keyOperations          = keys.Operations
	clientOperations       = clients.Operations
	invitationOperations   = invitations.Operations
)

// GetDocument returns the API's own description.
func (operations) GetDocument(context.Context, openapi.GetDocumentRequestObject) (openapi.GetDocumentResponseObject, error) {
	read, err := describedAsJSON()
	return openapi.GetDocument200JSONResponse(read), err
}

// describedAsJSON is the document for those who do not read YAML.
var describedAsJSON = sync.OnceValues(func() (out map[string]any, err error) {
	read, err := openapi3.NewLoader().LoadFromData(document.Document)
	if err != nil {
		return nil, err
	}
	encoded, err := read.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(encoded, &out)
})

// GetPublicHealth says that requests are answered, and nothing about what stands behind.
func (operations) GetPublicHealth(context.Context, openapi.GetPublicHealthRequestObject) (openapi.GetPublicHealthResponseObject, error) {
	return openapi.GetPublicHealth200JSONResponse{Status: openapi.Ok}, nil
}
