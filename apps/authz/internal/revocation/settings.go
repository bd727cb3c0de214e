package revocation

import (
	"errors"
	"net/url"
	"time"

	"gatehouse.internal/libs/config"
)

// What is done with a credential that nobody but the list could know about, while the list is stale.
const (
	Deny  = "deny" // 503: an outage
	Allow = "allow"
)

// Settings name at most one source. Without one nothing is revoked here.
type Settings struct {
	// URL is the feed's.
	URL string `mapstructure:"url"`
	// Secret is sent to the feed as a bearer token.
	Secret config.Secret `mapstructure:"secret"`
	// File is read instead of a feed.
	File string `mapstructure:"file"`
	// MaxStaleness is how long the list is believed without contact to its source.
	MaxStaleness time.Duration `mapstructure:"max_staleness"`
	// WhenStale is Deny or Allow, for tokens that are checked without asking their issuer.
	WhenStale string `mapstructure:"when_stale"`
	// MaxEntries bounds the memory. A feed with more leaves the list stale.
	MaxEntries int `mapstructure:"max_entries"`
}

// Default returns settings without a source.
func Default() Settings {
	return Settings{MaxStaleness: time.Minute, WhenStale: Deny, MaxEntries: 100_000}
}

// Enabled tells whether a source is named.
func (s Settings) Enabled() bool { return s.URL != "" || s.File != "" }

// Verify reports every problem at once, under the name of the section.
func (s Settings) Verify() error {
	var problems []error
	for _, check := range []struct {
		bad     bool
		message string
	}{
		{s.URL != "" && s.File != "", "revocation: url and file are both set"},
		{s.URL != "" && !isHTTP(s.URL), "revocation.url: must be an http:// or https:// URL"},
		{(s.URL != "") != (s.Secret != ""), "revocation.secret: is for url, and url needs it"},
		{s.MaxStaleness < 4*time.Second, "revocation.max_staleness: must be at least 4s"},
		{s.WhenStale != Deny && s.WhenStale != Allow, "revocation.when_stale: must be deny or allow"},
		{s.MaxEntries <= 0, "revocation.max_entries: must be positive"},
	} {
		if check.bad {
			problems = append(problems, errors.New(check.message))
		}
	}
	return errors.Join(problems...)
}

func isHTTP(location string) bool {
	parsed, err := url.Parse(location)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}
