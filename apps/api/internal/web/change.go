package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/request"
	"gatehouse.internal/libs/telemetry"
)

// The headers of changes.
const (
	idempotencyKey   = "Idempotency-Key"
	replayedHeader   = "Idempotent-Replayed"
	consistencyToken = "Consistency-Token"
)

// describe tells the use case of its request: who is where, and whether this is a request sent again.
func describe(document *openapi3.T) gin.HandlerFunc {
	return func(c *gin.Context) {
		asked := operation(document, c.Request.Method, c.FullPath())
		info := request.Info{
			ID: telemetry.RequestID(c.Request.Context()), Address: address(c.Request),
			Operation: asked.OperationID, Organization: c.Param("organization"),
		}
		// Elsewhere the header means nothing: an operation that does not name it keeps no answer.
		if asked.Parameters.GetByInAndName(openapi3.ParameterInHeader, idempotencyKey) != nil {
			info.IdempotencyKey = c.GetHeader(idempotencyKey)
		}
		if info.IdempotencyKey != "" {
			var err error
			if info.Hash, err = digest(c.Request); err != nil {
				refuse(c, unfit(err))
				return
			}
		}
		c.Request = c.Request.WithContext(request.With(c.Request.Context(), info))
	}
}

// digest identifies what is asked: where, and with what body. It leaves the body to be read again.
func digest(r *http.Request) ([]byte, error) {
	sum := sha256.New()
	_, _ = io.WriteString(sum, r.Method+"\n"+r.URL.RequestURI()+"\n")
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_, _ = sum.Write(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return sum.Sum(nil), nil
}

// address is the client's as the door saw it: Envoy appends its peer, so the last one is not the client's to choose.
// Without a door it is the peer itself. It is for the audit log and limits of attempts, never for a right.
func address(r *http.Request) netip.Addr {
	lines := r.Header.Values("X-Forwarded-For")
	if len(lines) > 0 {
		all := strings.Split(lines[len(lines)-1], ",")
		if found, err := netip.ParseAddr(strings.TrimSpace(all[len(all)-1])); err == nil {
			return found.Unmap()
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// admitted holds the caller to what the document demands for the operation.
func admitted(document *openapi3.T, rules access.Rules, guard *access.Guard) gin.HandlerFunc {
	return func(c *gin.Context) {
		rule, known := rules[operation(document, c.Request.Method, c.FullPath()).OperationID]
		if !known {
			refuse(c, errors.New("an operation without a rule"))
			return
		}
		if err := guard.Admit(c.Request.Context(), rule, c.Param); err != nil {
			refuse(c, err)
		}
	}
}

// settleTime is how long a request waits for the index to show what an earlier one has changed.
const settleTime = 2 * time.Second

// Index tells whether what the marks name has converged.
type Index interface {
	Await(ctx context.Context, marks []converge.Mark) (bool, error)
}

// consistent makes a request with a Consistency-Token see the change that gave it, and gives one to a change that the index does
// not show yet: its answer becomes 202.
func consistent(index Index, secret []byte) gin.HandlerFunc {
	return func(c *gin.Context) {
		if token := c.GetHeader(consistencyToken); token != "" {
			if err := settled(c.Request.Context(), index, secret, token); err != nil {
				refuse(c, err)
				return
			}
		}
		ctx, outcome := change.Observe(c.Request.Context())
		c.Request = c.Request.WithContext(ctx)
		c.Writer = &settling{ResponseWriter: c.Writer, outcome: outcome, secret: secret}
	}
}

func settled(ctx context.Context, index Index, secret []byte, token string) error {
	marks, err := converge.Decode(genuine(secret, token))
	if err != nil {
		return problem.Invalid(problem.Field{Name: consistencyToken, Reason: "is none that a change has given"})
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if done, err := index.Await(ctx, marks); err != nil || !done {
		return problem.New(problem.NotConverged, "What you have changed is not in force everywhere yet. Try again.").Because(err)
	}
	return nil
}

type settling struct {
	gin.ResponseWriter
	outcome *change.Outcome
	secret  []byte
}

// WriteHeader says 202 instead of a success that the index does not show yet.
func (w *settling) WriteHeader(code int) {
	if token := w.outcome.Pending(); token != "" && code >= 200 && code < 300 {
		w.Header().Set(consistencyToken, signed(w.secret, token))
		code = http.StatusAccepted
	}
	w.ResponseWriter.WriteHeader(code)
}

// signed is a token that genuine takes. Waiting tells that an object exists and how often it has changed, so nobody may
// choose what to wait for.
func signed(secret []byte, token string) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(mac, "consistency-token\n"+token)
	return token + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// genuine returns the token that was signed, "" when we have not signed it.
func genuine(secret []byte, text string) string {
	token, _, _ := strings.Cut(text, ".")
	if !hmac.Equal([]byte(signed(secret, token)), []byte(text)) {
		return ""
	}
	return token
}

// answerAgain writes what an earlier request with the same Idempotency-Key was answered.
func answerAgain(c *gin.Context, replay *change.Replay) {
	c.Header(replayedHeader, "true")
	c.Data(replay.Status, "application/json", replay.Body)
	c.Abort()
}
