package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"

	"gatehouse.internal/authz/internal/cache"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/upstream"
)

// hydrator lets another server complete the session.
type hydrator struct {
	config      hydratorConfig
	fingerprint string
	location    *url.URL
	client      *upstream.Client
	retry       *upstream.Retry
	identity    []string

	hydrations *cache.Lookup[[]byte]
	keep       time.Duration // 0 when the rule does not ask for it
}

type hydratorConfig struct {
	API struct {
		URL  string `json:"url"`
		Auth *struct {
			Basic struct {
				Username string `json:"username"`
				Password string `json:"password"`
			} `json:"basic"`
		} `json:"auth"`
		Retry *upstream.RetryConfig `json:"retry"`
	} `json:"api"`
	Cache struct {
		Enabled bool   `json:"enabled"`
		TTL     string `json:"ttl"`
	} `json:"cache"`
}

// maxHydration is the longest answer, in bytes, that is kept: with the number of entries it bounds the memory.
const maxHydration = 64 << 10

// perRequest are headers that differ in every request. A hydrator whose answers are kept does not see them: with
// them no two questions would be the same, and without them in the key an answer could speak of another request.
// Its server still gets the request's id and trace, as every call does.
var perRequest = []string{
	"X-Request-Id", "X-Client-Trace-Id", "Traceparent", "Tracestate", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid",
	"X-B3-Sampled", "X-B3-Flags", "X-Ot-Span-Context", "X-Cloud-Trace-Context", "X-Amzn-Trace-Id", "X-Envoy-Attempt-Count",
}

func newHydrator(config map[string]any, deps Deps) (Mutator, error) {
	var c hydratorConfig
	if err := pipeline.Decode(config, &c); err != nil {
		return nil, err
	}
	var problems []error
	location, err := url.Parse(c.API.URL)
	if err != nil || location.Host == "" || (location.Scheme != "http" && location.Scheme != "https") {
		problems = append(problems, errors.New("api.url: must be an http:// or https:// URL"))
	}
	retry, err := c.API.Retry.Parse()
	if err != nil {
		problems = append(problems, fmt.Errorf("api.%w", err))
	}
	keep := time.Minute // Oathkeeper's
	if c.Cache.TTL != "" {
		if keep, err = time.ParseDuration(c.Cache.TTL); err != nil || keep < 0 {
			problems = append(problems, fmt.Errorf("cache.ttl: %q is not a duration", c.Cache.TTL))
		}
	}
	if !c.Cache.Enabled || deps.Hydrations == nil {
		keep = 0
	}
	encoded, _ := json.Marshal(config) // it has been decoded from JSON's types
	return &hydrator{
		config: c, fingerprint: string(encoded), location: location, client: deps.Upstream, retry: retry, identity: deps.Identity,
		hydrations: deps.Hydrations, keep: keep,
	}, errors.Join(problems...)
}

func (m *hydrator) Mutate(ctx context.Context, r *pipeline.Request, s *pipeline.Session) error {
	q, err := m.question(r, s)
	if err != nil {
		return err
	}
	answer, err := m.hydration(ctx, q)
	if err != nil {
		return err
	}
	hydrated, err := read(answer, s.Subject)
	if err != nil {
		return m.client.Unusable(&http.Request{URL: m.location}, "%w", err)
	}
	// What was matched is ours to say and stays.
	s.Extra, s.Header = hydrated.Extra, hydrated.Header
	return nil
}

// hydration is what the server answered now or, to the same question, before. It is read anew for every request:
// sessions share nothing that a template could change.
func (m *hydrator) hydration(ctx context.Context, q hydratorQuestion) ([]byte, error) {
	if m.keep == 0 {
		answer, _, err := m.ask(ctx, q)
		return answer, err
	}
	return m.hydrations.Do(ctx, q.key(m.fingerprint), func(ctx context.Context) ([]byte, time.Duration, error) { return m.ask(ctx, q) })
}

// ask returns an answer that can be used and how long it holds. Everything else is an error and is not kept.
func (m *hydrator) ask(ctx context.Context, q hydratorQuestion) ([]byte, time.Duration, error) {
	location := *m.location
	location.RawQuery = q.query
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, location.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, 0, err
	}
	request.Header = q.header.Clone() // the call adds to it
	answer, err := m.client.DoAgain(ctx, request, m.retry)
	if err != nil {
		return nil, 0, err
	}
	if answer.Status != http.StatusOK {
		return nil, 0, m.client.Unusable(request, "the hydrator answered %d", answer.Status)
	}
	if _, err := read(answer.Body, q.subject); err != nil {
		return nil, 0, m.client.Unusable(request, "%w", err)
	}
	if len(answer.Body) > maxHydration {
		return answer.Body, 0, nil
	}
	return answer.Body, m.keep, nil
}

// read takes an answer apart and looks whether it is one about the subject.
func read(answer []byte, subject string) (*pipeline.Session, error) {
	var hydrated pipeline.Session
	if err := json.Unmarshal(answer, &hydrated); err != nil {
		return nil, errors.New("the hydrator's session cannot be read")
	}
	if hydrated.Subject != subject {
		return nil, errors.New("the hydrator changed the subject")
	}
	header := http.Header{}
	for name, values := range hydrated.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return nil, errors.New("the hydrator's session has a malformed header")
			}
			header.Add(name, value)
		}
	}
	hydrated.Header = header
	return &hydrated, nil
}

// hydratorQuestion is everything of a request that reaches the server. It is both what is sent and what the answer
// is kept under.
type hydratorQuestion struct {
	subject string // which is in the body too
	query   string
	header  http.Header
	body    []byte
}

// The fingerprint holds the server's URL and our name at it.
func (q hydratorQuestion) key(fingerprint string) cache.Key {
	parts := []string{"hydrator", fingerprint, q.query, string(q.body)}
	for _, name := range slices.Sorted(maps.Keys(q.header)) {
		parts = append(parts, name, strconv.Itoa(len(q.header[name])))
		parts = append(parts, q.header[name]...)
	}
	return cache.KeyOf(parts...)
}

// question carries the session, and what the client sent. A hydrator behind the door believes identity headers
// as every server there does, so it must not see those of the client.
func (m *hydrator) question(r *pipeline.Request, s *pipeline.Session) (hydratorQuestion, error) {
	header := upstream.WithoutIdentity(r.Header, m.identity)
	if m.keep > 0 {
		for _, name := range perRequest {
			header.Del(name)
		}
	}
	told := *s
	told.MatchContext.Header = header
	body, err := json.Marshal(told)
	if err != nil {
		return hydratorQuestion{}, pipeline.RuleError("hydrator: the session cannot be written as JSON")
	}
	query, _ := url.ParseQuery(r.Query) // what can be read of a malformed query still counts
	q := hydratorQuestion{subject: s.Subject, query: query.Encode(), header: upstream.Forwardable(header), body: body}
	if auth := m.config.API.Auth; auth != nil {
		named := &http.Request{Header: q.header}
		named.SetBasicAuth(auth.Basic.Username, auth.Basic.Password)
	}
	q.header.Set("Content-Type", "application/json")
	return q, nil
}
