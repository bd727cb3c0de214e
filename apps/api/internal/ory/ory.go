// Package ory speaks to Kratos and Hydra and is the only importer of Ory's client. It translates their
// answers into the domain's words and must never turn an outage into a "no": both servers answer like
// a logged-out person, or an inactive token, while their database is down.
package ory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	client "github.com/ory/client-go"

	"gatehouse.internal/libs/telemetry"
)

// HTTPClient returns the client for calls to servers of the stack: each call takes at most timeout, is
// not redirected anywhere, passes the request id and the trace on, and fails at once while its server is in trouble.
func HTTPClient(timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // these servers are our neighbours
	transport.MaxIdleConnsPerHost = 32
	return &http.Client{
		Transport:     newGuarded(telemetry.Transport(transport)),
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// server is one port of one Ory server.
type server struct {
	api   *client.APIClient
	http  *http.Client
	base  string
	ready string
}

func newServer(base, ready string, c *http.Client) server {
	base = strings.TrimSuffix(base, "/")
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: base}}
	configuration.HTTPClient = c
	configuration.UserAgent = "gatehouse-api"
	return server{api: client.NewAPIClient(configuration), http: c, base: base, ready: base + ready}
}

// Ready fails unless the server says that it is ready, its database included.
func (s server) Ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ready, nil)
	if err != nil {
		return err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return clean(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("readiness answered %d", response.StatusCode)
	}
	return nil
}

// certain returns no when the server is ready, asked after it said no.
func (s server) certain(ctx context.Context, no error) error {
	if err := s.Ready(ctx); err != nil {
		return fmt.Errorf("said no, but is not ready: %w", err)
	}
	return no
}

// status is that of the answer, or 0 without one. The client has read and closed the body.
func status(response *http.Response) int {
	if response == nil {
		return 0
	}
	return response.StatusCode
}

// failed says of which call an error is.
func failed(call string, response *http.Response, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %d: %w", call, status(response), clean(err))
}

// clean drops the URL that net/http puts into errors: its query may hold a secret.
func clean(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", strings.ToLower(inner.Op), inner.Err)
	}
	return err
}
