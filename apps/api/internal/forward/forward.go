// Package forward carries the few requests that end something at Kratos or Hydra (a session, a token).
// The door sends them here because neither server tells anyone about them: what has ended is published to the
// revocation feed at this one place. It forwards the listed endings and nothing else, so that it never becomes a way
// around the door, and it must never publish what has not ended.
package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

type upstream int

const (
	kratos upstream = iota
	hydra
)

// kratosPrefix is where Kratos is mounted at the public origin.
const kratosPrefix = "/.ory"

// Ending is a request that ends something. A path may end in /:id.
type Ending struct {
	Method, Path string
	upstream     upstream
	// ends finds out what a request could end; nil when it ends nothing that a door could know.
	ends func(f *Forwarder, r *http.Request) (witness, error)
}

// Endings are all there are.
func Endings() []Ending {
	return []Ending{
		{http.MethodGet, kratosPrefix + "/self-service/logout", kratos, (*Forwarder).currentSession},
		{http.MethodGet, kratosPrefix + "/self-service/logout/browser", kratos, nil}, // answers with the link of the one above
		{http.MethodDelete, kratosPrefix + "/self-service/logout/api", kratos, (*Forwarder).namedToken},
		{http.MethodDelete, kratosPrefix + "/sessions", kratos, (*Forwarder).otherSessions},
		{http.MethodDelete, kratosPrefix + "/sessions/:id", kratos, (*Forwarder).namedSession},
		{http.MethodPost, "/oauth2/revoke", hydra, (*Forwarder).accessToken},
		// Hydra ends the Kratos session that its login was made with, too: that of this browser.
		{http.MethodGet, "/oauth2/sessions/logout", hydra, (*Forwarder).currentSession},
		{http.MethodPost, "/oauth2/sessions/logout", hydra, (*Forwarder).currentSession},
	}
}

// Forwarder sends endings to where they belong.
type Forwarder struct {
	Kratos, Hydra *url.URL // public ports
	Public        *url.URL // the origin that browsers see
	// BehindDoor says that only the door can reach us, so that the addresses it reports are true.
	BehindDoor bool
	// Timeout bounds each of the questions and the forwarded request itself.
	Timeout   time.Duration
	Transport http.RoundTripper
	Sessions  Sessions
	Tokens    principal.Tokens
	Publisher Publisher
	Now       func() time.Time
	// Refuse renders a problem.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
}

// Handler forwards one kind of ending.
func (f *Forwarder) Handler(ending Ending) http.Handler {
	target, prefix := f.Kratos, kratosPrefix
	if ending.upstream == hydra {
		target, prefix = f.Hydra, ""
	}
	proxy := &httputil.ReverseProxy{
		Transport: f.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			f.rewrite(r, target, prefix)
			if ending.upstream == hydra {
				withoutSession(r.Out.Header)
			}
		},
		// Published before the caller hears of it: who logs out and sees the answer is logged out.
		ModifyResponse: func(r *http.Response) error { return f.announced(r.Request.Context()) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// The server may have ended it all the same, and its answer got lost.
			if _, ok := errors.AsType[*unannounced](err); !ok {
				err = errors.Join(err, f.announced(r.Context()))
			}
			f.Refuse(w, r, failed(err))
		},
	}
	named := strings.HasSuffix(ending.Path, "/:id")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What stands for the id is sent on as a path: only an id may.
		if named && uuid.Validate(path.Base(r.URL.Path)) != nil {
			f.Refuse(w, r, problem.New(problem.NotFound, "There is nothing at this address."))
			return
		}
		// Whoever goes away in the middle has ended it, or has not: that is found out and published all the same.
		whole := context.WithoutCancel(r.Context())
		begun, err := f.begin(whole, ending, r)
		if err != nil {
			f.Refuse(w, r, failed(err))
			return
		}
		ctx, cancel := context.WithTimeout(context.WithValue(whole, endingKey{}, begun), f.Timeout)
		defer cancel()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// unannounced is an ending that nobody will hear of.
type unannounced struct{ cause error }

func (u *unannounced) Error() string { return u.cause.Error() }
func (u *unannounced) Unwrap() error { return u.cause }

func (f *Forwarder) announced(ctx context.Context) error {
	begun := ctx.Value(endingKey{}).(*ending)
	// The time of the forwarded request may be over; this has its own.
	if err := f.announce(context.WithoutCancel(ctx), begun); err != nil {
		return &unannounced{err}
	}
	return nil
}

// rewrite keeps what the servers build URLs and logs from: the public host and scheme, and the address
// of the client.
func (f *Forwarder) rewrite(r *httputil.ProxyRequest, target *url.URL, prefix string) {
	r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, prefix)
	r.Out.URL.RawPath = ""
	r.SetURL(target)
	r.Out.Host = f.Public.Host
	if f.BehindDoor {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	}
	r.SetXForwarded()
	r.Out.Header.Set("X-Forwarded-Host", f.Public.Host)
	r.Out.Header.Set("X-Forwarded-Proto", f.Public.Scheme)
}

// withoutSession takes Kratos' cookies out and leaves all others as they were sent: nobody but Kratos and the web
// app may see them.
func withoutSession(header http.Header) {
	var kept []string
	for _, line := range header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			cookie = strings.TrimSpace(cookie)
			name, _, _ := strings.Cut(cookie, "=")
			name = strings.TrimSpace(name)
			if cookie != "" && name != principal.SessionCookie && !strings.HasPrefix(name, "csrf_token_") {
				kept = append(kept, cookie)
			}
		}
	}
	header.Del("Cookie")
	if kept != nil {
		header.Set("Cookie", strings.Join(kept, "; "))
	}
}

func failed(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.New(problem.TooLarge, "The body is too large.").Because(tooLarge)
	}
	return problem.New(problem.Unavailable, "This cannot be ended right now. Try again.").
		Because(fmt.Errorf("forward: %w", err))
}
