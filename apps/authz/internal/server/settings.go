// Package server wires the service: settings, the gRPC door for Envoy, and the internal port for
// operators.
package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/authz/internal/upstream"
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
	} `mapstructure:"upstream"`
	// Readiness is how to tell an outage of a server from its "no".
	Readiness   []Readiness `mapstructure:"readiness"`
	ProblemJSON struct {
		// Prefixes are the paths under which refusals are RFC 9457 documents; "/api/" is for "/api" too.
		Prefixes []string `mapstructure:"prefixes"`
	} `mapstructure:"problem_json"`
	// StripCookies are cookies that no upstream may see.
	StripCookies []string `mapstructure:"strip_cookies"`
	// Drain is how long decisions in flight may take once the service is told to stop.
	Drain time.Duration `mapstructure:"drain"`
	Log   struct {
		// Level is debug, info, warn or error.
		Level string `mapstructure:"level"`
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
	s.ProblemJSON.Prefixes = []string{"/api/"}
	s.StripCookies = []string{"ory_kratos_session"}
	s.Drain = 10 * time.Second
	s.Log.Level = "info"
	return s
}

// Verify implements config.Verifier. It reports every problem at once.
func (s Settings) Verify() error {
	var problems []error
	for _, check := range []struct {
		bad     bool
		message string
	}{
		{!validAddress(s.GRPC.Address) && !strings.HasPrefix(s.GRPC.Address, "unix:///"), "grpc.address: must be host:port or unix:///path"},
		{!validAddress(s.Ops.Address), "ops.address: must be host:port"},
		{s.OathkeeperConfig == "", "oathkeeper_config: missing"},
		{s.Upstream.Timeout <= 0, "upstream.timeout: must be positive"},
		{s.Upstream.MaxConnections <= 0, "upstream.max_connections: must be positive"},
		{s.Drain < 0, "drain: must not be negative"},
		{new(slog.Level).UnmarshalText([]byte(s.Log.Level)) != nil, "log.level: must be debug, info, warn or error"},
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
	for i, r := range s.Readiness {
		for key, value := range map[string]string{"upstream": r.Upstream, "url": r.URL} {
			parsed, err := url.Parse(value)
			if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
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
