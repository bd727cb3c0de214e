package forward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/principal"
)

// Sessions answers which sessions are good now, by the credentials in the headers of a request. That there is none is
// principal.ErrRejected, or principal.ErrStepUp when it lacks the second factor.
type Sessions interface {
	CurrentSession(ctx context.Context, header http.Header) (string, error)
	OtherSessions(ctx context.Context, header http.Header) ([]string, error)
}

// Publisher tells the doors what has ended.
type Publisher interface {
	Publish(ctx context.Context, entries ...feed.Entry) error
}

// A witness answers what of that which a request could end is good now, as the entries that take it away.
//
// It is asked before the request is forwarded and again after it, and what is gone then has ended. The answer to the
// request says too little: Kratos answers 204 also about other people's sessions, and 303 to a logout with a forged
// token; Hydra answers 200 about other clients' tokens. Whoever could have those published could log others out.
type witness func(ctx context.Context) ([]feed.Entry, error)

// currentSession witnesses the session that the request is of.
func (f *Forwarder) currentSession(r *http.Request) (witness, error) {
	header := r.Header.Clone()
	return func(ctx context.Context) ([]feed.Entry, error) {
		id, err := f.Sessions.CurrentSession(ctx, header)
		return f.sessions([]string{id}, err)
	}, nil
}

// namedToken witnesses the session of the token in the body of a logout.
func (f *Forwarder) namedToken(r *http.Request) (witness, error) {
	body, err := buffered(r)
	if err != nil {
		return nil, err
	}
	var logout struct {
		Token string `json:"session_token"`
	}
	if json.Unmarshal(body, &logout) != nil || logout.Token == "" {
		return nil, nil // Kratos will say what is wrong with it
	}
	header := http.Header{"X-Session-Token": {logout.Token}}
	return func(ctx context.Context) ([]feed.Entry, error) {
		id, err := f.Sessions.CurrentSession(ctx, header)
		return f.sessions([]string{id}, err)
	}, nil
}

// otherSessions witnesses all sessions of the person but the current one.
func (f *Forwarder) otherSessions(r *http.Request) (witness, error) {
	header := r.Header.Clone()
	return func(ctx context.Context) ([]feed.Entry, error) {
		return f.sessions(f.Sessions.OtherSessions(ctx, header))
	}, nil
}

// namedSession witnesses the one of them that the path names.
func (f *Forwarder) namedSession(r *http.Request) (witness, error) {
	header, named := r.Header.Clone(), path.Base(r.URL.Path)
	return func(ctx context.Context) ([]feed.Entry, error) {
		ids, err := f.Sessions.OtherSessions(ctx, header)
		ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.EqualFold(id, named) })
		return f.sessions(ids, err)
	}, nil
}

func (f *Forwarder) sessions(ids []string, err error) ([]feed.Entry, error) {
	if errors.Is(err, principal.ErrRejected) || errors.Is(err, principal.ErrStepUp) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries := make([]feed.Entry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, feed.Entry{Kind: feed.Session, ID: id, Expires: f.Now().Add(feed.Lifetime)})
	}
	return entries, nil
}

// accessToken witnesses the access token that the body names. A refresh token is nothing that a door accepts.
func (f *Forwarder) accessToken(r *http.Request) (witness, error) {
	body, err := buffered(r)
	if err != nil {
		return nil, err
	}
	// Read as Hydra reads it, so that there is no form of it that only Hydra understands.
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	if err := copied.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) { // #nosec G120 -- of what was read already
		return nil, nil // Hydra will say what is wrong with it
	}
	token := copied.PostForm.Get("token")
	if token == "" {
		return nil, nil
	}
	return func(ctx context.Context) ([]feed.Entry, error) {
		found, err := f.Tokens.Introspect(ctx, token)
		switch {
		case errors.Is(err, principal.ErrRejected):
			return nil, nil
		case err != nil:
			return nil, err
		case found.Use != "access_token":
			return nil, nil
		}
		var entries []feed.Entry
		for _, id := range tokenIDs(token) {
			entries = append(entries, feed.Entry{Kind: feed.Token, ID: id, Expires: found.Expires.Add(time.Minute)})
		}
		return entries, nil
	}, nil
}

// tokenIDs are the names that a door may know a token by: the hash of what it was sent, and for a JWT that it
// verified itself the jti, or without one the hash of what is signed.
func tokenIDs(token string) []string {
	ids := []string{hash(token)}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ids
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ids // an opaque token with two dots
	}
	var claims struct {
		ID string `json:"jti"`
	}
	if json.Unmarshal(payload, &claims) == nil && claims.ID != "" {
		return append(ids, claims.ID)
	}
	return append(ids, hash(parts[0]+"."+parts[1]))
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// buffered reads the body and leaves the request with the same one. The server has bounded it.
func buffered(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return body, nil
}

// ending is one request on its way.
type ending struct {
	witness witness
	before  []feed.Entry
}

func (f *Forwarder) begin(ctx context.Context, e Ending, r *http.Request) (*ending, error) {
	if e.ends == nil {
		return &ending{}, nil
	}
	asked, err := e.ends(f, r)
	if err != nil || asked == nil {
		return &ending{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	before, err := asked(ctx)
	return &ending{asked, before}, err
}

// announce publishes what has ended since begin. What cannot be found out counts as ended.
func (f *Forwarder) announce(ctx context.Context, e *ending) error {
	if len(e.before) == 0 {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	left, err := e.witness(asking)
	if err != nil {
		left = nil
	}
	gone := slices.DeleteFunc(slices.Clone(e.before), func(was feed.Entry) bool {
		return slices.ContainsFunc(left, func(is feed.Entry) bool { return is.Kind == was.Kind && is.ID == was.ID })
	})
	if len(gone) == 0 {
		return nil
	}
	if err := f.Publisher.Publish(ctx, gone...); err != nil {
		return fmt.Errorf("ended, but the doors do not know: %w", err)
	}
	return nil
}

type endingKey struct{}
