package server

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/pipeline/authn"
)

// longestUnnoticed bounds how long a logout or a revocation that nobody announces may go unnoticed.
const longestUnnoticed = 10 * time.Second

// Cache says what is kept between requests. Verified JWTs and minted identity tokens always are: the keys, the
// times and the rule are looked at for every request. Answers of other servers are not, unless a TTL is set.
type Cache struct {
	// MaxEntries of each cache; 0 keeps nothing at all. One entry takes a few kilobytes, at most about 64.
	MaxEntries int `mapstructure:"max_entries"`
	// SessionTTL is for cookie_session and bearer_token. A store's Ory-Session-Cache-For and the session's own
	// end shorten it.
	SessionTTL time.Duration `mapstructure:"session_ttl"`
	// IntrospectionTTL is for oauth2_introspection. The token's own end shortens it.
	IntrospectionTTL time.Duration `mapstructure:"introspection_ttl"`
	// NegativeTTL is for a ready server's "no", where its answers are kept.
	NegativeTTL time.Duration `mapstructure:"negative_ttl"`
}

func defaultCache() Cache { return Cache{MaxEntries: 10_000, NegativeTTL: time.Second} }

func (c Cache) verify() error {
	var problems []error
	if c.MaxEntries < 0 {
		problems = append(problems, errors.New("cache.max_entries: must not be negative"))
	}
	for key, ttl := range map[string]time.Duration{
		"session_ttl": c.SessionTTL, "introspection_ttl": c.IntrospectionTTL, "negative_ttl": c.NegativeTTL,
	} {
		if ttl < 0 || ttl > longestUnnoticed {
			problems = append(problems, errors.New("cache."+key+": must be between 0s and "+longestUnnoticed.String()))
		}
	}
	return errors.Join(problems...)
}

// keep gives o caches that outlive reloads, and returns their metrics. What they hold is not used while the
// revocations of o are stale.
func (s Settings) keep(o *engine.Options) []prometheus.Collector {
	o.Caches = authn.NewCaches(authn.CacheOptions{
		MaxEntries: s.Cache.MaxEntries,
		SessionTTL: s.Cache.SessionTTL, IntrospectionTTL: s.Cache.IntrospectionTTL, NegativeTTL: s.Cache.NegativeTTL,
		Timeout: 2 * s.Upstream.Timeout, // the question, and whether its "no" can be believed
		Stale:   o.Revocations.Stale, Now: o.Now,
	})
	collectors := o.Caches.Collectors()
	if s.Cache.MaxEntries > 0 {
		o.Tokens = cache.New[string]("id_token", s.Cache.MaxEntries, o.Now)
		collectors = append(collectors, o.Tokens)
		// A rule that asks for it says for how long. A hydrator says nothing about a credential, and so no "no".
		o.Hydrations = cache.NewLookup[[]byte](cache.Options{
			Name: "hydrator", MaxEntries: s.Cache.MaxEntries, TTL: cache.Unbounded,
			Timeout: s.Upstream.Timeout, Stale: o.Revocations.Stale, Now: o.Now,
		})
		collectors = append(collectors, o.Hydrations.Collectors()...)
	}
	return collectors
}
