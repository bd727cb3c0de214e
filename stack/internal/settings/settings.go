// Package settings reads what a person may choose about a stack, from GATEHOUSE_* environment variables.
package settings

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Gates are the services that Envoy can ask for a decision.
var Gates = []string{"authz", "oathkeeper"}

// elsewhere begins the variables that other programs read: the runner (cache folder), the web app (the door's
// address), docker-compose.yml (published ports), tests, and our services, which refuse unknown ones themselves.
var elsewhere = regexp.MustCompile(`^GATEHOUSE_(CACHE$|DOOR_URL$|PORT$|MAIL_PORT$|TEST_|API_|MIGRATE_|AUTHZ_)`)

// Settings are the choices, checked.
type Settings struct {
	// PublicURL is the one origin of everything a browser or a client may reach, without a trailing slash.
	PublicURL string
	// Gate is one of Gates.
	Gate string
	// GateTimeout is how long Envoy waits for a decision.
	GateTimeout time.Duration
	// UpstreamTimeout is how long authz waits for Kratos or Hydra. It must fit inside GateTimeout.
	UpstreamTimeout time.Duration
	// LoginAttemptsPerMinute and TokenAttemptsPerMinute bound what one client address may try.
	LoginAttemptsPerMinute, TokenAttemptsPerMinute int
	// OTLPEndpoint is the origin of an OTLP/HTTP collector, http://host:port, as every part of the stack reaches it.
	// Without one there are no traces.
	OTLPEndpoint string
	// TraceRatio, 0 to 1, is how many of all requests the door records.
	TraceRatio float64
}

// Default returns the settings of a development stack at publicURL.
func Default(publicURL string) Settings {
	return Settings{
		PublicURL:              publicURL,
		Gate:                   "authz",
		GateTimeout:            time.Second,
		UpstreamTimeout:        700 * time.Millisecond,
		LoginAttemptsPerMinute: 60,
		TokenAttemptsPerMinute: 300,
		TraceRatio:             0.01,
	}
}

// Development tells whether the public origin is plain http, which only a loopback address may be.
func (s Settings) Development() bool { return strings.HasPrefix(s.PublicURL, "http://") }

// CollectorHost is that of OTLPEndpoint.
func (s Settings) CollectorHost() string { return s.collector()[1] }

// CollectorPort is that of OTLPEndpoint.
func (s Settings) CollectorPort() string { return s.collector()[2] }

// collector splits OTLPEndpoint: all of it, host, port.
func (s Settings) collector() []string {
	parts := collectors.FindStringSubmatch(s.OTLPEndpoint)
	if parts == nil {
		return make([]string, 3)
	}
	if port, _ := strconv.Atoi(parts[2]); port > 65535 {
		return make([]string, 3)
	}
	return parts
}

// TracePercent is TraceRatio as Envoy wants it, which rounds it to a hundredth.
func (s Settings) TracePercent() float64 { return s.TraceRatio * 100 }

// FromEnvironment applies the variables in environ (as os.Environ returns them) to defaults. It refuses
// variables that begin with GATEHOUSE_ and name no setting, and reports every problem at once.
func FromEnvironment(environ []string, defaults Settings) (Settings, error) {
	s := defaults
	var problems []error
	fields := map[string]func(string) error{
		"GATEHOUSE_PUBLIC_URL":                func(v string) error { s.PublicURL = strings.TrimSuffix(v, "/"); return nil },
		"GATEHOUSE_GATE":                      func(v string) error { s.Gate = v; return nil },
		"GATEHOUSE_GATE_TIMEOUT":              duration(&s.GateTimeout),
		"GATEHOUSE_UPSTREAM_TIMEOUT":          duration(&s.UpstreamTimeout),
		"GATEHOUSE_LOGIN_ATTEMPTS_PER_MINUTE": positive(&s.LoginAttemptsPerMinute),
		"GATEHOUSE_TOKEN_ATTEMPTS_PER_MINUTE": positive(&s.TokenAttemptsPerMinute),
		"GATEHOUSE_OTLP_ENDPOINT":             func(v string) error { s.OTLPEndpoint = strings.TrimSuffix(v, "/"); return nil },
		"GATEHOUSE_TRACE_RATIO":               ratio(&s.TraceRatio),
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "GATEHOUSE_") || elsewhere.MatchString(name) {
			continue
		}
		set, known := fields[name]
		switch {
		case !known:
			problems = append(problems, fmt.Errorf("%s: there is no such setting", name))
		case value != "": // compose passes an unset variable as an empty one
			if err := set(value); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	problems = append(problems, s.verify()...)
	return s, errors.Join(problems...)
}

func (s Settings) verify() []error {
	var problems []error
	if err := verifyOrigin(s.PublicURL); err != nil {
		problems = append(problems, fmt.Errorf("GATEHOUSE_PUBLIC_URL: %w", err))
	}
	if !slices.Contains(Gates, s.Gate) {
		problems = append(problems, fmt.Errorf("GATEHOUSE_GATE: %q is none of %s", s.Gate, strings.Join(Gates, ", ")))
	}
	if s.UpstreamTimeout <= 0 || s.UpstreamTimeout >= s.GateTimeout {
		problems = append(problems, fmt.Errorf("GATEHOUSE_UPSTREAM_TIMEOUT: %s must be positive and shorter than GATEHOUSE_GATE_TIMEOUT (%s)", s.UpstreamTimeout, s.GateTimeout))
	}
	if s.OTLPEndpoint != "" && s.CollectorHost() == "" {
		problems = append(problems, fmt.Errorf("GATEHOUSE_OTLP_ENDPOINT: %q is not an OTLP/HTTP collector like http://127.0.0.1:4318; one that takes only https needs a collector of one's own in front", s.OTLPEndpoint))
	}
	return problems
}

// collectors are reached in the clear, beside the stack: spans hold no credentials, and Envoy would need to be told whose
// certificates to trust.
var collectors = regexp.MustCompile(`\Ahttp://([A-Za-z0-9]+(?:[._-]+[A-Za-z0-9]+)*):([1-9][0-9]{0,4})\z`)

var origins = regexp.MustCompile(`^(https?)://([a-z0-9]+(?:[.-]+[a-z0-9]+)*)(?::([1-9][0-9]{0,4}))?$`)

// verifyOrigin accepts scheme://host[:port] as browsers write it: they send it as Origin in lower case and without
// the scheme's own port, issuers are compared byte by byte, and configuration files quote it. Plain http would
// send sessions over the network in the clear, so it is for this machine only, where the door listens on IPv4.
func verifyOrigin(origin string) error {
	parts := origins.FindStringSubmatch(origin)
	if parts == nil {
		return fmt.Errorf("%q is not an origin like https://auth.example.com, in lower case and without a path", origin)
	}
	scheme, host, port := parts[1], parts[2], parts[3]
	if number, _ := strconv.Atoi(port); number > 65535 {
		return fmt.Errorf("there is no port %s", port)
	}
	if port == map[string]string{"http": "80", "https": "443"}[scheme] {
		return fmt.Errorf("port %s is that of %s anyway: browsers leave it out, so leave it out", port, scheme)
	}
	if scheme == "http" && host != "localhost" && host != "127.0.0.1" {
		return fmt.Errorf("plain http is only for localhost and 127.0.0.1, not for %s", host)
	}
	return nil
}

func duration(into *time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is not a duration like 700ms", value)
		}
		*into = d
		return nil
	}
}

func positive(into *int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a positive whole number", value)
		}
		*into = n
		return nil
	}
}

func ratio(into *float64) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= 0 && n <= 1) { // written so that it refuses NaN, too
			return fmt.Errorf("%q is not a number between 0 and 1", value)
		}
		*into = n
		return nil
	}
}
