//go:build door

package door

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience bounds a test that would otherwise hang; no outcome depends on it.
const patience = 20 * time.Second

// answer is one response that has been read. Status 0 means that the door ended the connection or the stream
// without one.
type answer struct {
	status int
	header http.Header
	body   string
}

// eachDoor runs a test with both gates.
func eachDoor(t *testing.T, test func(t *testing.T, d *door)) {
	t.Helper()
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

func (d *door) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	connection, err := dialer.DialContext(t.Context(), "tcp4", d.address)
	require.NoError(t, err)
	require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
	return connection
}

// head writes a request as HTTP/1.1 has it, headers spelled and repeated as given.
func head(method, target string, headers ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: localhost:8080\r\n"
	for i := 0; i+1 < len(headers); i += 2 {
		text += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	return text + "Connection: close\r\n\r\n"
}

// send sends one request with these headers.
func (d *door) send(t *testing.T, method, target string, headers ...string) answer {
	t.Helper()
	all := d.raw(t, head(method, target, headers...))
	require.Len(t, all, 1)
	return all[0]
}

func (d *door) get(t *testing.T, target string, headers ...string) answer {
	t.Helper()
	return d.send(t, http.MethodGet, target, headers...)
}

// raw sends bytes that no HTTP client would write, and reads answers until the door ends the connection.
func (d *door) raw(t *testing.T, text string) []answer {
	t.Helper()
	return d.rawFrom(t, "", text)
}

// rawFrom does so from another address of this machine.
func (d *door) rawFrom(t *testing.T, from, text string) (all []answer) {
	t.Helper()
	connection := d.dial(t, from)
	defer func() { _ = connection.Close() }()
	// The door may answer and close before it has read everything.
	_, _ = io.WriteString(connection, text)
	method, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), " ")
	reader := bufio.NewReader(connection)
	for {
		if _, err := reader.Peek(1); err != nil {
			require.False(t, isTimeout(err), "the door keeps the connection open after %d answers to %q", len(all), text)
			return all
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		all = append(all, answer{response.StatusCode, response.Header, string(body)})
		if response.Close {
			// The door waits a second for a client to close first. What follows would still be read here.
			_ = connection.(*net.TCPConn).CloseWrite()
		}
	}
}

// h2 sends one request over HTTP/2, its fields as given.
func (d *door) h2(t *testing.T, body string, fields ...string) answer {
	t.Helper()
	a, err := d.stream(t.Context(), body, fields)
	require.NoError(t, err)
	return a
}

// h2Together sends many at once, each on its own connection: Envoy takes a second to end a connection on which it
// found a protocol error.
func (d *door) h2Together(t *testing.T, body string, requests [][]string) []answer {
	t.Helper()
	found, problems := make([]answer, len(requests)), make([]error, len(requests))
	var wait sync.WaitGroup
	for i, fields := range requests {
		wait.Go(func() { found[i], problems[i] = d.stream(t.Context(), body, fields) })
	}
	wait.Wait()
	require.NoError(t, errors.Join(problems...))
	return found
}

func (d *door) stream(ctx context.Context, body string, fields []string) (answer, error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp4", d.address)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return answer{}, err
		}
	}
	framer := http2.NewFramer(connection, connection)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	// The door may end the connection before it has read everything.
	_, _ = io.WriteString(connection, http2.ClientPreface)
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == ""})
	if body != "" {
		_ = framer.WriteData(1, true, []byte(body))
	}
	a := answer{header: http.Header{}}
	for {
		frame, err := framer.ReadFrame()
		if isTimeout(err) {
			return answer{}, fmt.Errorf("the door leaves the stream of %q open", fields)
		}
		if err != nil {
			return answer{}, nil //nolint:nilerr // the door ended the connection, which is an answer
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				a.header.Add(field.Name, field.Value)
			}
			if a.status, err = strconv.Atoi(f.PseudoValue("status")); err != nil {
				return answer{}, err
			}
		case *http2.DataFrame:
			a.body += string(f.Data())
		case *http2.RSTStreamFrame:
			return answer{}, nil
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			return a, nil
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// over2 sends an ordinary request over HTTP/2.
func (d *door) over2(t *testing.T, method, target string, headers ...string) answer {
	t.Helper()
	return d.h2(t, "", fields(method, target, headers...)...)
}

// fields are those of an ordinary request over HTTP/2, with these headers.
func fields(method, target string, headers ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "localhost:8080", ":path", target}, headers...)
}

type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string `json:"request_id"`
}

// requireProblem requires the one form in which a refusal under /api is written.
func requireProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
	var p problem
	require.NoError(t, json.Unmarshal([]byte(a.body), &p), a.body)
	require.Equal(t, status, p.Status)
	require.Equal(t, code, p.Code)
	require.Equal(t, "urn:gatehouse:problem:"+code, p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.NotEmpty(t, p.RequestID)
	require.Equal(t, a.header.Get("X-Request-Id"), p.RequestID)
}

// requireEarlyProblem is for refusals that are made before the request has an id.
func requireEarlyProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
	var p problem
	require.NoError(t, json.Unmarshal([]byte(a.body), &p), a.body)
	require.Equal(t, status, p.Status)
	require.Equal(t, code, p.Code)
	require.Equal(t, "urn:gatehouse:problem:"+code, p.Type)
}
