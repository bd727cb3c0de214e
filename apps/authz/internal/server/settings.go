// Package server wires the service: settings, the gRPC door for Envoy, and the internal port for
// operators.
package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/revocation"
	"gatehouse.internal/authz/internal/upstream"
	"gatehouse.internal/libs/telemetry"
)

// EnvPrefix begins the environment variables that win over the file: GATEHOUSE_AUTHZ_OPS_ADDRESS and so on.
const EnvPrefix = "GATEHOUSE_AUTHZ"

// Settings are this service's own. They are apart from Oathkeeper's file because Oathkeeper refuses
// keys that it does not know.
type Settings struct {
	GRPC struct {
		// Address is host:port, or unix:///path.
		Address string `mapstructure:"address"`
	} `mapstructure:"grpc"`
	Ops struct {
		// Address is host:port. It is for operators and probes, not for the public.
		Address string `mapstructure:"address"`
	} `mapstructure:"ops"`
	// OathkeeperConfig is the path of Oathkeeper's configuration file.
	OathkeeperConfig string `mapstructure:"oathkeeper_config"`
	Upstream         struct {
		// Timeout bounds one call; a "no" takes a second one, to readiness.
		Timeout time.Duration `mapstructure:"timeout"`
		// MaxConnections to one host. Further calls wait for one, within Timeout.
		MaxConnections int `mapstructure:"max_connections"`
		// BreakerPause is how long a server is left alone once half of its calls fail; 0 asks it every time.
		BreakerPause time.Duration `mapstructure:"breaker_pause"`
	} `mapstructure:"upstream"`
	// Cache is what is kept between requests.
	Cache Cache `mapstructure:"cache"`
	// ChecksumPrefixes begin API keys whose checksum bearer_token looks at before it asks anyone.
	ChecksumPrefixes []string `mapstructure:"checksum_prefixes"`
	// NextOnError names authenticators whose 401 lets the next one of the rule try. Oathkeeper stops there.
	NextOnError []string `mapstructure:"next_on_error"`
	// Readiness is how to tell an outage of a server from its "no".
	Readiness   []Readiness `mapstructure:"readiness"`
	ProblemJSON struct {
		// Prefixes are the paths under which refusals are RFC 9457 documents; "/api/" is for "/api" too.
		Prefixes []string `mapstructure:"prefixes"`
	} `mapstructure:"problem_json"`
	// StripCookies are cookies that no upstream may see.
	StripCookies []string `mapstructure:"strip_cookies"`
	Delegate     struct {
		// URL is an Oathkeeper's decision API, http://host:4456/decisions. It decides for the rules that use
		// what this service does not do itself; without it they answer 500.
		URL string `mapstructure:"url"`
	} `mapstructure:"delegate"`
	// Explain serves POST /explain on the ops port. It is for development: whoever reaches it can try credentials.
	Explain bool `mapstructure:"explain"`
	Reload  struct {
		// Interval is how often the files are compared with what was loaded.
		Interval time.Duration `mapstructure:"interval"`
		// RemoteInterval is how often http(s):// rule repositories are asked.
		RemoteInterval time.Duration `mapstructure:"remote_interval"`
	} `mapstructure:"reload"`
	// Revocation says where to learn what was taken away before it expired; see docs/revocation-feed.md.
	Revocation revocation.Settings `mapstructure:"revocation"`
	// Tracing says where spans go. A decision is part of Envoy's trace if Envoy makes one.
	Tracing telemetry.Tracing `mapstructure:"tracing"`
	// Drain is how long decisions in flight may take once the service is told to stop.
	Drain time.Duration `mapstructure:"drain"`
	Log   struct {
		// Level is debug, info, warn or error.
		Level string `mapstructure:"level"`
		// AllowLinesPerSecond bounds the lines about allowed requests; those that follow a gap say how many were
		// left out. 0 writes none. Lines about denials and errors are written up to unusualLines of each.
		AllowLinesPerSecond int `mapstructure:"allow_lines_per_second"`
	} `mapstructure:"log"`
}

// Readiness names the URL that answers 200 while the server at the origin Upstream is ready.
type Readiness struct {
	Upstream string `mapstructure:"upstream"`
	URL      string `mapstructure:"url"`
}

// Default returns settings that lack only what has no default.
func Default() Settings {
	var s Settings
	s.GRPC.Address = "127.0.0.1:9191"
	s.Ops.Address = "127.0.0.1:9192"
	s.Upstream.Timeout = 700 * time.Millisecond
	s.Upstream.MaxConnections = 100
	s.Upstream.BreakerPause = 5 * time.Second
	s.Cache = defaultCache()
	s.ProblemJSON.Prefixes = []string{"/api/"}
	s.StripCookies = []string{"ory_kratos_session"}
	s.Reload.Interval = 2 * time.Second
	s.Reload.RemoteInterval = 30 * time.Second
	s.Revocation = revocation.Default()
	s.Tracing = telemetry.DefaultTracing()
	s.Drain = 10 * time.Second
	s.Log.Level = "info"
	s.Log.AllowLinesPerSecond = 100
	return s
}

// Verify implements config.Verifier. It reports every problem at once.
func (s Settings) Verify() error {
	problems := []error{s.Revocation.Verify(), s.Cache.verify(), s.Tracing.Verify()}
	for _, check := range []struct {
		bad     bool
		message string
	}{
		{!validAddress(s.GRPC.Address) && !strings.HasPrefix(s.GRPC.Address, "unix:///"), "grpc.address: must be host:port or unix:///path"},
		{!validAddress(s.Ops.Address), "ops.address: must be host:port"},
		{s.OathkeeperConfig == "", "oathkeeper_config: missing"},
		{s.Upstream.Timeout <= 0, "upstream.timeout: must be positive"},
		{s.Upstream.MaxConnections <= 0, "upstream.max_connections: must be positive"},
		{s.Delegate.URL != "" && !validURL(s.Delegate.URL), "delegate.url: must be an http:// or https:// URL"},
		{s.Reload.Interval <= 0, "reload.interval: must be positive"},
		{s.Reload.RemoteInterval <= 0, "reload.remote_interval: must be positive"},
		{s.Upstream.BreakerPause < 0, "upstream.breaker_pause: must not be negative"},
		{s.Drain < 0, "drain: must not be negative"},
		{new(slog.Level).UnmarshalText([]byte(s.Log.Level)) != nil, "log.level: must be debug, info, warn or error"},
		{s.Log.AllowLinesPerSecond < 0, "log.allow_lines_per_second: must not be negative"},
	} {
		if check.bad {
			problems = append(problems, errors.New(check.message))
		}
	}
	for _, prefix := range s.ProblemJSON.Prefixes {
		if !strings.HasPrefix(prefix, "/") {
			problems = append(problems, fmt.Errorf("problem_json.prefixes: %q does not begin with a slash", prefix))
		}
	}
	for _, prefix := range s.ChecksumPrefixes {
		if prefix == "" {
			problems = append(problems, errors.New("checksum_prefixes: an empty prefix would refuse every other token"))
		}
	}
	for _, name := range s.NextOnError {
		if !slices.Contains([]string{"cookie_session", "bearer_token", "jwt", "oauth2_introspection"}, name) {
			problems = append(problems, fmt.Errorf("next_on_error: %q is not an authenticator that refuses credentials", name))
		}
	}
	for i, r := range s.Readiness {
		for key, value := range map[string]string{"upstream": r.Upstream, "url": r.URL} {
			if !validURL(value) {
				problems = append(problems, fmt.Errorf("readiness[%d].%s: must be an http:// or https:// URL", i, key))
			}
		}
	}
	return errors.Join(problems...)
}

func validAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port != ""
}

func validURL(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

// readiness is keyed as upstream.Client wants it.
func (s Settings) readiness() map[string]string {
	out := map[string]string{}
	for _, r := range s.Readiness {
		if parsed, err := url.Parse(r.Upstream); err == nil {
			out[upstream.Origin(parsed)] = r.URL
		}
	}
	return out
}
