// Package upstream asks other servers (session stores, introspection endpoints, key sets) with a
// deadline, over pooled connections, and tells an answer from an outage.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/libs/breaker"
	"gatehouse.internal/libs/telemetry"
)

// maxBody bounds an answer. A session or a key set is a few kilobytes; more is a mistake or an attack.
const maxBody = 1 << 20

// Options configure a Client.
type Options struct {
	// Timeout bounds one call. The caller's own deadline bounds it too.
	Timeout time.Duration
	// MaxConnections to one host.
	MaxConnections int
	// Readiness maps an origin (http://host:port) to the URL that answers 200 while that server is ready.
	Readiness map[string]string
	// Failed is told of every call that got no usable answer: the origin and a short reason.
	Failed func(origin, reason string)
	// BreakerPause is how long a server is left alone once half of its calls failed. 0 means no
	// breaker: it is asked every time.
	BreakerPause time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	http      *http.Client
	timeout   time.Duration
	readiness map[string]string
	failed    func(origin, reason string)
	breakers  *breaker.Breakers[*Response] // nil for none
}

// Response is a whole answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New returns a client.
func New(o Options) *Client {
	failed := o.Failed
	if failed == nil {
		failed = func(string, string) {}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// net/http dials on for the next request when the one that began has given up: that needs limits of its own.
		DialContext:         (&net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: o.Timeout,
		MaxConnsPerHost:     o.MaxConnections,
		MaxIdleConns:        4 * o.MaxConnections,
		MaxIdleConnsPerHost: o.MaxConnections,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	client := &Client{
		http: &http.Client{
			Transport: telemetry.Transport(transport),
			// A redirect would send the caller's cookie or token to wherever the answer points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout:   o.Timeout,
		readiness: o.Readiness,
		failed:    failed,
	}
	if o.BreakerPause > 0 {
		client.breakers = newBreakers(o.BreakerPause)
	}
	return client
}

// Do sends the request and reads the answer, whatever its status is. An error means that there is no
// answer, or one of more than 1 MiB, or that the server was not asked (ErrOpen). It names the origin,
// never the path, query or headers.
func (c *Client) Do(ctx context.Context, r *http.Request) (*Response, error) {
	if c.breakers == nil {
		return c.ask(ctx, r)
	}
	answer, err := c.breakers.Around(Origin(r.URL), func() (*Response, error) { return c.ask(ctx, r) })
	if errors.Is(err, ErrOpen) {
		return nil, c.fail(r.URL, "breaker_open", err)
	}
	return answer, err
}

func (c *Client) ask(ctx context.Context, r *http.Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	response, err := c.http.Do(r.WithContext(ctx)) // #nosec G704 -- scheme and host are of the configuration, never of a request
	if err != nil {
		return nil, c.fail(r.URL, "transport", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, c.fail(r.URL, "transport", err)
	}
	if len(body) > maxBody {
		return nil, c.fail(r.URL, "too_large", errTooLarge)
	}
	return &Response{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}

var errTooLarge = errors.New("the answer is longer than 1 MiB")

// Unusable turns an answer that says nothing about the caller (a 500, a redirect, not JSON) into an error.
func (c *Client) Unusable(r *http.Request, reason string, args ...any) error {
	return c.fail(r.URL, "unusable", fmt.Errorf(reason, args...))
}

// Watches tells whether a readiness URL is known for the server at location.
func (c *Client) Watches(location *url.URL) bool { return c.readiness[Origin(location)] != "" }

// ConfirmNegative returns nil when a "no such session" or "not active" of the server at answered may be
// believed. It must be asked after the "no": Kratos and Hydra say so too while their database is away, so
// it counts only if the server then reports ready. Without a readiness URL for that server there is
// nothing to ask and the "no" counts.
func (c *Client) ConfirmNegative(ctx context.Context, answered *url.URL) error {
	ready := c.readiness[Origin(answered)]
	if ready == "" {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
	if err != nil {
		return err
	}
	// Past the breaker: the server answers, so it is up, and "not ready" must not count against the answers
	// it can still give.
	response, err := c.ask(ctx, request)
	if err != nil {
		return fmt.Errorf("a negative answer cannot be believed: %w", err)
	}
	if response.Status != http.StatusOK {
		return c.fail(answered, "not_ready", fmt.Errorf("a negative answer cannot be believed: readiness is %d", response.Status))
	}
	return nil
}

// Origin is scheme://host:port of u, in the form that Options.Readiness uses as keys.
func Origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Port() == "" {
		switch u.Scheme {
		case "http":
			host += ":80"
		case "https":
			host += ":443"
		}
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

func (c *Client) fail(u *url.URL, kind string, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = "timeout"
	case errors.Is(err, context.Canceled):
		kind = "canceled" // the caller went away; says nothing about the server
	}
	origin := Origin(u)
	c.failed(origin, kind)
	// net/http's error carries the full URL.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("upstream %s: %s: %w", origin, kind, err)
}
