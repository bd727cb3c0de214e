package app

import (
	"context"
	"errors"
	"net/netip"
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
		"public_url":                          func(s *Settings) { s.PublicURL += "/" },
		"public_url of a page":                func(s *Settings) { s.PublicURL += "#" },
		"internal_secret":                     func(s *Settings) { s.InternalSecret = "short" },
		"internal_secret of one letter":       func(s *Settings) { s.InternalSecret = config.Secret(strings.Repeat("a", 64)) },
		"kratos.webhook_secret of one letter": func(s *Settings) { s.Kratos.WebhookSecret = config.Secret(strings.Repeat("b", 64)) },
		"api_keys.gate_secret of a pair":      func(s *Settings) { s.APIKeys.GateSecret = config.Secret(strings.Repeat("ab", 32)) },
		"consent.csrf_secret of a few":        func(s *Settings) { s.Consent.CSRFSecret = config.Secret(strings.Repeat("1234567", 8)) },
		"kratos.admin_url that is public":     func(s *Settings) { s.Kratos.AdminURL = "http://203.0.114.1:4434" },
		"hydra.admin_url that is public":      func(s *Settings) { s.Hydra.AdminURL = "https://[2606:4700::1]" },
		"keto.read_url that is public":        func(s *Settings) { s.Keto.ReadURL = "http://8.8.8.8:4466" },
		"keto.write_url that is public":       func(s *Settings) { s.Keto.WriteURL = "http://[::ffff:8.8.8.8]:4467" },
		"internal.address":                    func(s *Settings) { s.Internal = s.Public },
		"database.max_connections":            func(s *Settings) { s.Database.MaxConnections = 3 },
		"keto.write_url":                      func(s *Settings) { s.Keto.WriteURL = s.Keto.ReadURL },
		"reconcile.interval":                  func(s *Settings) { s.Reconcile.Interval = time.Second },
		"sweep.interval":                      func(s *Settings) { s.Sweep.Interval = time.Second },
		"reconcile.max_deleted_share":         func(s *Settings) { s.Reconcile.MaxDeletedShare = 1.1 },
		"consent.csrf_secret":                 func(s *Settings) { s.Consent.CSRFSecret = s.InternalSecret },
		"api_keys.gate_secret":                func(s *Settings) { s.APIKeys.GateSecret = s.InternalSecret },
		"kratos.webhook_secret":               func(s *Settings) { s.Kratos.WebhookSecret = s.InternalSecret },
		"kratos.admin_url":                    func(s *Settings) { s.Kratos.AdminURL = s.Kratos.PublicURL },
		"hydra.admin_url":                     func(s *Settings) { s.Hydra.AdminURL = s.Hydra.PublicURL },
		"identity_token.issuer":               func(s *Settings) { s.IdentityToken.Issuer = "" },
		"identity_token.audience":             func(s *Settings) { s.IdentityToken.Audience = "" },
		"identity_token.jwks_url":             func(s *Settings) { s.IdentityToken.JWKSURL = "file:///keys" },
		"hydra.webhook_secret":                func(s *Settings) { s.Hydra.WebhookSecret = s.InternalSecret },
		"clients.interval":                    func(s *Settings) { s.Clients.Interval = time.Second },
		"clients.max_orphans":                 func(s *Settings) { s.Clients.MaxOrphans = -1 },
		"hydra.webhook_secret of one letter":  func(s *Settings) { s.Hydra.WebhookSecret = config.Secret(strings.Repeat("h", 64)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := valid()
			change(&s)
			key, _, _ := strings.Cut(name, " ")
			require.ErrorContains(t, s.Verify(), key+":")
		})
	}
}

func TestNameOfAnAdminPortMustNotStandForAPublicAddress(t *testing.T) {
	original := lookup
	t.Cleanup(func() { lookup = original })
	for name, c := range map[string]struct {
		addresses []string
		inside    bool
	}{
		"this machine":                    {[]string{"127.0.0.1", "::1"}, true},
		"a private network":               {[]string{"10.0.0.7", "172.20.0.3", "192.168.1.1", "fd00::1", "100.64.0.9"}, true},
		"the world":                       {[]string{"8.8.8.8"}, false},
		"a private network and the world": {[]string{"10.0.0.7", "2606:4700::1"}, false},
		"every address of the machine":    {[]string{"0.0.0.0"}, false},
		"nothing yet":                     {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			lookup = func(context.Context, string, string) ([]netip.Addr, error) {
				var out []netip.Addr
				for _, address := range c.addresses {
					out = append(out, netip.MustParseAddr(address))
				}
				if out == nil {
					return nil, errors.New("no such host")
				}
				return out, nil
			}
			require.Equal(t, c.inside, isInside("http://kratos:4434"))
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
