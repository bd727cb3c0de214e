package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/invitations"
	"gatehouse.internal/api/internal/mail"
	"gatehouse.internal/libs/config"
	"gatehouse.internal/libs/telemetry"
)

// The two ways of knowing who calls: by the door's identity token, or by asking Kratos and Hydra.
const (
	edge   = "edge"
	direct = "direct"
)

// Settings are those of `api serve`.
type Settings struct {
	Mode      string   `mapstructure:"mode"`
	PublicURL string   `mapstructure:"public_url"`
	Public    Listener `mapstructure:"public"`
	// Internal serves health and metrics, and whatever other services of the stack may ask.
	Internal       Listener      `mapstructure:"internal"`
	InternalSecret config.Secret `mapstructure:"internal_secret"`
	Database       struct {
		URL            config.Secret `mapstructure:"url"`
		MaxConnections int32         `mapstructure:"max_connections"`
	} `mapstructure:"database"`
	IdentityToken struct {
		Issuer   string `mapstructure:"issuer"`
		Audience string `mapstructure:"audience"`
		JWKSURL  string `mapstructure:"jwks_url"`
	} `mapstructure:"identity_token"`
	Kratos struct {
		PublicURL string `mapstructure:"public_url"`
		AdminURL  string `mapstructure:"admin_url"`
		// WebhookSecret is what Kratos shows when it says that an identity changed. It opens nothing else.
		WebhookSecret config.Secret `mapstructure:"webhook_secret"`
	} `mapstructure:"kratos"`
	APIKeys struct {
		// GateSecret is what a gate shows when it asks about an API key. It opens nothing else.
		GateSecret config.Secret `mapstructure:"gate_secret"`
	} `mapstructure:"api_keys"`
	Hydra struct {
		PublicURL string `mapstructure:"public_url"`
		AdminURL  string `mapstructure:"admin_url"`
		// WebhookSecret is what Hydra shows when it asks whether it may issue a token. It opens nothing else.
		WebhookSecret config.Secret `mapstructure:"webhook_secret"`
		// Issuer is public_url's origin unless Hydra is told otherwise.
		Issuer string `mapstructure:"issuer"`
	} `mapstructure:"hydra"`
	Keto struct {
		ReadURL  string `mapstructure:"read_url"`
		WriteURL string `mapstructure:"write_url"`
	} `mapstructure:"keto"`
	Reconcile Reconcile `mapstructure:"reconcile"`
	Sweep     Sweep     `mapstructure:"sweep"`
	Clients   Clients   `mapstructure:"clients"`
	Consent   struct {
		CSRFSecret config.Secret `mapstructure:"csrf_secret"`
	} `mapstructure:"consent"`
	// SMTP is the server that takes our mail.
	SMTP        mail.Settings        `mapstructure:"smtp"`
	Invitations invitations.Settings `mapstructure:"invitations"`
	// Limits bound how often one caller, and one address, may ask.
	Limits struct {
		PerPrincipal Limit `mapstructure:"per_principal"`
		PerAddress   Limit `mapstructure:"per_address"`
	} `mapstructure:"limits"`
	// UpstreamTimeout bounds each call to another server.
	UpstreamTimeout time.Duration `mapstructure:"upstream_timeout"`
	// Tracing says where spans go. Behind the door a request is part of the door's trace.
	Tracing telemetry.Tracing `mapstructure:"tracing"`
	// Drain is how long requests in flight may take at the end.
	Drain time.Duration `mapstructure:"drain"`
	Log   Log           `mapstructure:"log"`
}

// Listener is an address to serve on.
type Listener struct {
	Address string `mapstructure:"address"`
}

// Reconcile is the regular comparison of Keto with the rows.
type Reconcile struct {
	Interval time.Duration `mapstructure:"interval"`
	// MaxDeletedShare is how much of all tuples it may delete, from 0 to 1; for more it wants `api reconcile --force`.
	MaxDeletedShare float64 `mapstructure:"max_deleted_share"`
}

// Limit is a token bucket.
type Limit struct {
	PerSecond float64 `mapstructure:"per_second"`
	Burst     int     `mapstructure:"burst"`
}

// Sweep is the regular comparison of the table of users with Kratos.
type Sweep struct {
	Interval time.Duration `mapstructure:"interval"`
}

// Clients is the regular comparison of Hydra's clients with the rows.
type Clients struct {
	Interval time.Duration `mapstructure:"interval"`
	// MaxOrphans is how many clients without a row it may remove at once. More than crashes leave behind speak of a
	// restored database: then it removes none. With 0 it never does.
	MaxOrphans int `mapstructure:"max_orphans"`
}

// Log is how much to say.
type Log struct {
	Level string `mapstructure:"level"`
}

// Defaults are what need not be said. Secrets and servers have none.
func Defaults() Settings {
	var s Settings
	s.Mode = edge
	s.PublicURL = "http://localhost:8080"
	s.Public.Address = "127.0.0.1:3001"
	s.Internal.Address = "127.0.0.1:3002"
	s.Database.MaxConnections = 10
	s.IdentityToken.Audience = "gatehouse-api"
	s.Reconcile = Reconcile{Interval: 10 * time.Minute, MaxDeletedShare: 0.1}
	s.Limits.PerPrincipal = Limit{PerSecond: 50, Burst: 200}
	s.Limits.PerAddress = Limit{PerSecond: 200, Burst: 1000} // an office behind one address, or the web app's server
	s.Sweep = Sweep{Interval: 15 * time.Minute}
	s.Clients = Clients{Interval: 10 * time.Minute, MaxOrphans: 10}
	s.SMTP = mail.Defaults()
	s.Invitations = invitations.Defaults()
	s.UpstreamTimeout = 2 * time.Second
	s.Tracing = telemetry.DefaultTracing()
	s.Drain = 10 * time.Second
	s.Log.Level = "info"
	return s
}

const (
	secretLength = 32
	// secretVariety is how many different characters a secret has at least. Of 32 random hexadecimal digits fewer than eight are
	// different once in 10^7 secrets; what somebody typed to satisfy the length has often but one.
	secretVariety = 8

	weak    = "needs at least 32 characters, 8 of them different: openssl rand -hex 32 makes one"
	outside = "must not be a public address: whoever reaches it needs no permission"
)

// Verify implements config.Verifier.
func (s Settings) Verify() error {
	conditions := []struct {
		ok      bool
		message string
	}{
		{s.Mode == edge || s.Mode == direct, "mode: must be edge or direct"},
		{isOrigin(s.PublicURL), "public_url: must be an origin such as https://gatehouse.example, without a path"},
		{isAddress(s.Public.Address), "public.address: must be host:port"},
		{isAddress(s.Internal.Address), "internal.address: must be host:port"},
		{s.Public.Address != s.Internal.Address, "internal.address: must not be the public one"},
		{isSecret(s.InternalSecret), "internal_secret: " + weak},
		{s.Database.URL != "", "database.url: missing"},
		{s.Database.MaxConnections > 3, "database.max_connections: needs at least 4: one waits for jobs, others may wait for Kratos and Keto"},
		{s.Mode != edge || s.IdentityToken.Issuer != "", "identity_token.issuer: missing"},
		{s.Mode != edge || s.IdentityToken.Audience != "", "identity_token.audience: missing"},
		{s.Mode != edge || isURL(s.IdentityToken.JWKSURL), "identity_token.jwks_url: must be an http URL"},
		{isURL(s.Kratos.PublicURL), "kratos.public_url: must be an http URL"},
		{isURL(s.Kratos.AdminURL), "kratos.admin_url: must be an http URL"},
		{isInside(s.Kratos.AdminURL), "kratos.admin_url: " + outside},
		{s.Kratos.PublicURL != s.Kratos.AdminURL || s.Kratos.AdminURL == "", "kratos.admin_url: must not be the public one"},
		{isSecret(s.Kratos.WebhookSecret), "kratos.webhook_secret: " + weak},
		{s.Kratos.WebhookSecret != s.InternalSecret || s.InternalSecret == "", "kratos.webhook_secret: must not be internal_secret"},
		{isSecret(s.APIKeys.GateSecret), "api_keys.gate_secret: " + weak},
		{s.APIKeys.GateSecret != s.InternalSecret || s.InternalSecret == "", "api_keys.gate_secret: must not be internal_secret"},
		{isURL(s.Hydra.PublicURL), "hydra.public_url: must be an http URL"},
		{isURL(s.Hydra.AdminURL), "hydra.admin_url: must be an http URL"},
		{isInside(s.Hydra.AdminURL), "hydra.admin_url: " + outside},
		{s.Hydra.PublicURL != s.Hydra.AdminURL || s.Hydra.AdminURL == "", "hydra.admin_url: must not be the public one"},
		{isSecret(s.Hydra.WebhookSecret), "hydra.webhook_secret: " + weak},
		{s.Hydra.WebhookSecret != s.InternalSecret || s.InternalSecret == "", "hydra.webhook_secret: must not be internal_secret"},
		{s.Hydra.Issuer == "" || isURL(s.Hydra.Issuer), "hydra.issuer: must be an http URL"},
		{isURL(s.Keto.ReadURL), "keto.read_url: must be an http URL"},
		{isURL(s.Keto.WriteURL), "keto.write_url: must be an http URL"},
		{isInside(s.Keto.ReadURL), "keto.read_url: " + outside},
		{isInside(s.Keto.WriteURL), "keto.write_url: " + outside},
		{s.Keto.ReadURL != s.Keto.WriteURL || s.Keto.WriteURL == "", "keto.write_url: must not be the read one"},
		{s.Reconcile.Interval >= time.Minute, "reconcile.interval: needs at least a minute"},
		{s.Reconcile.MaxDeletedShare >= 0 && s.Reconcile.MaxDeletedShare <= 1, "reconcile.max_deleted_share: must be from 0 to 1"},
		{s.Sweep.Interval >= time.Minute, "sweep.interval: needs at least a minute"},
		{s.Clients.Interval >= time.Minute, "clients.interval: needs at least a minute"},
		{s.Clients.MaxOrphans >= 0, "clients.max_orphans: must not be negative"},
		{isSecret(s.Consent.CSRFSecret), "consent.csrf_secret: " + weak},
		{s.Consent.CSRFSecret != s.InternalSecret || s.InternalSecret == "", "consent.csrf_secret: must not be internal_secret"},
		{s.Limits.PerPrincipal.PerSecond > 0 && s.Limits.PerPrincipal.Burst > 0, "limits.per_principal: needs a positive per_second and burst"},
		{s.Limits.PerAddress.PerSecond > 0 && s.Limits.PerAddress.Burst > 0, "limits.per_address: needs a positive per_second and burst"},
		{s.UpstreamTimeout > 0, "upstream_timeout: must be positive"},
		{s.Drain > 0, "drain: must be positive"},
		{isLevel(s.Log.Level), "log.level: must be debug, info, warn or error"},
	}
	var problems []error
	for _, condition := range conditions {
		if !condition.ok {
			problems = append(problems, errors.New(condition.message))
		}
	}
	if err := database.Verify(s.Database.URL.Reveal()); s.Database.URL != "" && err != nil {
		problems = append(problems, fmt.Errorf("database.url: %w", err))
	}
	return errors.Join(append(problems, s.SMTP.Verify(), s.Invitations.Verify(), s.Tracing.Verify())...)
}

// tokenIssuer is Hydra's, as it stands in access tokens.
func (s Settings) tokenIssuer() string {
	if s.Hydra.Issuer != "" {
		return s.Hydra.Issuer
	}
	return s.PublicURL
}

// tokenAudience is what an access token must be made for.
func (s Settings) tokenAudience() string { return s.PublicURL + "/api" }

// MigrateSettings are those of `api migrate`. Its database user owns the schema, which the one of
// `serve` does not: hence a file and variables of its own.
type MigrateSettings struct {
	Database struct {
		URL config.Secret `mapstructure:"url"`
	} `mapstructure:"database"`
	Log Log `mapstructure:"log"`
}

// Verify implements config.Verifier.
func (s MigrateSettings) Verify() error {
	var problems []error
	if s.Database.URL == "" {
		problems = append(problems, errors.New("database.url: missing"))
	} else if err := database.Verify(s.Database.URL.Reveal()); err != nil {
		problems = append(problems, fmt.Errorf("database.url: %w", err))
	}
	if !isLevel(s.Log.Level) {
		problems = append(problems, errors.New("log.level: must be debug, info, warn or error"))
	}
	return errors.Join(problems...)
}

func isURL(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && (parsed.Scheme == "http" || parsed.Scheme == "https") && parsed.Host != "" && parsed.User == nil
}

func isSecret(secret config.Secret) bool {
	different := map[rune]bool{}
	for _, char := range secret.Reveal() {
		different[char] = true
	}
	return len(secret) >= secretLength && len(different) >= secretVariety
}

// lookup finds out what the name of an admin port stands for; lookupTime is how long it may take.
var lookup = net.DefaultResolver.LookupNetIP

const lookupTime = 2 * time.Second

// isInside tells whether the server at a URL is on this machine or a private network, for its admin port asks nobody who
// they are. A name that stands for nothing yet may belong to a container that starts later: it is no reason to refuse.
func isInside(text string) bool {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" {
		return true // isURL says what is wrong
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	addresses, err := lookup(ctx, "ip", parsed.Hostname())
	if err != nil {
		return true
	}
	return !slices.ContainsFunc(addresses, func(address netip.Addr) bool {
		address = address.Unmap()
		return !address.IsLoopback() && !address.IsPrivate() && !address.IsLinkLocalUnicast() && !shared.Contains(address)
	})
}

// shared are the addresses that networks of one operator share (RFC 6598), as some clouds give them to containers.
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isOrigin(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && isURL(text) && text == parsed.Scheme+"://"+parsed.Host
}

func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	return err == nil && port != ""
}

func isLevel(text string) bool {
	var level slog.Level
	return text != "" && level.UnmarshalText([]byte(text)) == nil
}
