package authn

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/pipeline"
)

// Caches keep what authenticators found out. They outlive the rules: a reload that leaves a handler's
// configuration as it was leaves its entries good. The zero value keeps nothing.
type Caches struct {
	sessions       *cache.Lookup[*pipeline.Known]
	introspections *cache.Lookup[introspected]
	grants         *cache.Lookup[string] // tokens of our own
	tokens         *cache.Cache[verified]
}

// CacheOptions bound what is kept.
type CacheOptions struct {
	// MaxEntries of each cache. 0 keeps nothing.
	MaxEntries int
	// SessionTTL and IntrospectionTTL bound how long a logout or a revocation goes unnoticed. With 0 the server
	// is asked for each request.
	SessionTTL       time.Duration
	IntrospectionTTL time.Duration
	// NegativeTTL is how long a believed "no" is kept where answers are.
	NegativeTTL time.Duration
	// Timeout bounds one question to a server, with the check whether its "no" can be believed.
	Timeout time.Duration
	// Stale, if set, tells that a revocation may exist that is not known here: then servers are asked.
	Stale func() bool
	Now   func() time.Time
}

// NewCaches returns empty caches.
func NewCaches(o CacheOptions) Caches {
	lookup := func(name string, ttl time.Duration) cache.Options {
		return cache.Options{
			Name: name, MaxEntries: o.MaxEntries, TTL: ttl, RefusedTTL: o.NegativeTTL,
			Timeout: o.Timeout, Stale: o.Stale, Now: o.Now,
		}
	}
	caches := Caches{
		sessions:       cache.NewLookup[*pipeline.Known](lookup("session", o.SessionTTL)),
		introspections: cache.NewLookup[introspected](lookup("introspection", o.IntrospectionTTL)),
		grants: cache.NewLookup[string](cache.Options{
			Name: "grant", MaxEntries: o.MaxEntries, TTL: grantTTL, Timeout: o.Timeout, Now: o.Now,
		}),
	}
	if o.MaxEntries > 0 {
		caches.tokens = cache.New[verified]("jwt", o.MaxEntries, o.Now)
	}
	return caches
}

// Collectors are the caches' metrics.
func (c Caches) Collectors() []prometheus.Collector {
	all := slices.Concat(c.sessions.Collectors(), c.introspections.Collectors(), c.grants.Collectors())
	if c.tokens != nil {
		all = append(all, c.tokens)
	}
	return all
}

// grantTTL is when a token of our own is replaced at the latest, in case it was taken away before its time.
const grantTTL = 5 * time.Minute

// maxKept is the longest answer, in bytes, that is kept: with the number of entries it bounds the memory.
const maxKept = 64 << 10

// fingerprint stands for a handler with its configuration in keys. Two rules that ask the same way share
// entries; rules that differ in anything never do.
func fingerprint(handler string, config map[string]any) string {
	encoded, _ := json.Marshal(config) // it has been decoded from JSON's types
	key := cache.KeyOf(handler, string(encoded))
	return string(key[:])
}
