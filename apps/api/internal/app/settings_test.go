package app

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/config"
)

const secret = "0123456789abcdef0123456789abcdef"

// valid are settings that pass Verify.
func valid() Settings {
	s := Defaults()
	s.InternalSecret = secret
	s.Consent.CSRFSecret = secret + "!"
	s.Database.URL = "postgres://gatehouse_api:hunter2@127.0.0.1:5432/gatehouse"
	s.IdentityToken.Issuer = "http://localhost:8080/.well-known/gatehouse"
	s.IdentityToken.JWKSURL = "http://127.0.0.1:9192/.well-known/jwks.json"
	s.Kratos.PublicURL, s.Kratos.AdminURL = "http://127.0.0.1:4433", "http://127.0.0.1:4434"
	s.Kratos.WebhookSecret = secret + "?"
	s.APIKeys.GateSecret = secret + "#"
	s.Hydra.PublicURL, s.Hydra.AdminURL = "http://127.0.0.1:4444", "http://127.0.0.1:4445"
	s.Hydra.WebhookSecret = secret + "&"
	s.Keto.ReadURL, s.Keto.WriteURL = "http://127.0.0.1:4466", "http://127.0.0.1:4467"
	s.SMTP.Address, s.SMTP.From = "127.0.0.1:1025", "Gatehouse <no-reply@gatehouse.example>"
	return s
}

func TestSettingsReportEveryProblemAtOnce(t *testing.T) {
	require.NoError(t, valid().Verify())

	err := Settings{Mode: "open"}.Verify()
	for _, key := range []string{
		"mode", "public_url", "public.address", "internal.address", "internal_secret", "database.url",
		"database.max_connections", "kratos.public_url", "kratos.admin_url", "kratos.webhook_secret", "api_keys.gate_secret", "hydra.public_url", "hydra.admin_url",
		"hydra.webhook_secret", "clients.interval",
		"keto.read_url", "keto.write_url", "reconcile.interval", "sweep.interval", "consent.csrf_secret", "smtp.address", "smtp.tls",
		"smtp.from", "smtp.timeout", "invitations.lifetime", "invitations.mails_per_invitation", "invitations.mails_per_organization", "upstream_timeout", "drain", "log.level",
	} {
		require.ErrorContains(t, err, key+":")
	}
}

func TestUnsafeSettingsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"public_url":                  func(s *Settings) { s.PublicURL += "/" },
		"public_url of a page":        func(s *Settings) { s.PublicURL += "#" },
		"internal_secret":             func(s *Settings) { s.InternalSecret = "short" },
		"internal.address":            func(s *Settings) { s.Internal = s.Public },
		"database.max_connections":    func(s *Settings) { s.Database.MaxConnections = 3 },
		"keto.write_url":              func(s *Settings) { s.Keto.WriteURL = s.Keto.ReadURL },
		"reconcile.interval":          func(s *Settings) { s.Reconcile.Interval = time.Second },
		"sweep.interval":              func(s *Settings) { s.Sweep.Interval = time.Second },
		"reconcile.max_deleted_share": func(s *Settings) { s.Reconcile.MaxDeletedShare = 1.1 },
		"consent.csrf_secret":         func(s *Settings) { s.Consent.CSRFSecret = s.InternalSecret },
		"api_keys.gate_secret":        func(s *Settings) { s.APIKeys.GateSecret = s.InternalSecret },
		"kratos.webhook_secret":       func(s *Settings) { s.Kratos.WebhookSecret = s.InternalSecret },
		"kratos.admin_url":            func(s *Settings) { s.Kratos.AdminURL = s.Kratos.PublicURL },
		"hydra.admin_url":             func(s *Settings) { s.Hydra.AdminURL = s.Hydra.PublicURL },
		"hydra.webhook_secret":        func(s *Settings) { s.Hydra.WebhookSecret = s.InternalSecret },
		"clients.interval":            func(s *Settings) { s.Clients.Interval = time.Second },
		"clients.max_orphans":         func(s *Settings) { s.Clients.MaxOrphans = -1 },
		"identity_token.issuer":       func(s *Settings) { s.IdentityToken.Issuer = "" },
		"identity_token.audience":     func(s *Settings) { s.IdentityToken.Audience = "" },
		"identity_token.jwks_url":     func(s *Settings) { s.IdentityToken.JWKSURL = "file:///keys" },
	} {
		t.Run(name, func(t *testing.T) {
			s := valid()
			change(&s)
			key, _, _ := strings.Cut(name, " ")
			require.ErrorContains(t, s.Verify(), key+":")
		})
	}
}

func TestDirectModeNeedsNoIdentityToken(t *testing.T) {
	s := valid()
	s.Mode = direct
	s.IdentityToken.Issuer, s.IdentityToken.JWKSURL = "", ""
	require.NoError(t, s.Verify())
	require.Equal(t, "http://localhost:8080", s.tokenIssuer())
	require.Equal(t, "http://localhost:8080/api", s.tokenAudience())
	s.Hydra.Issuer = "http://localhost:8080/"
	require.Equal(t, "http://localhost:8080/", s.tokenIssuer())
}

func TestProblemsHoldNoPassword(t *testing.T) {
	s := valid()
	s.Database.URL = "postgres://gatehouse_api:hunter2@127.0.0.1:port/gatehouse"
	err := s.Verify()
	require.ErrorContains(t, err, "database.url:")
	require.NotContains(t, err.Error(), "hunter2")

	m := MigrateSettings{Log: Log{Level: "loud"}}
	m.Database.URL = config.Secret(strings.Replace(s.Database.URL.Reveal(), "postgres", "mysql", 1))
	err = m.Verify()
	require.ErrorContains(t, err, "database.url:")
	require.ErrorContains(t, err, "log.level:")
	require.NotContains(t, err.Error(), "hunter2")
	require.ErrorContains(t, MigrateSettings{}.Verify(), "database.url: missing")
}
