// Package request carries what a use case may have to know of the HTTP request that it serves: for the audit log and for
// requests that are sent twice. It must never carry a credential.
package request

import (
	"context"
	"net/netip"
)

// Info is about one request.
type Info struct {
	ID        string // X-Request-Id
	Operation string // operationId of the API's document
	// Address is the client's as the proxy in front saw it. The zero value is unknown.
	Address netip.Addr
	// Organization is the one in the path, "" without one.
	Organization string
	// IdempotencyKey is what the caller sent, "" for nothing, and Hash is the SHA-256 of what else it sent.
	IdempotencyKey string
	Hash           []byte
}

type contextKey struct{}

// With returns a context that carries info.
func With(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, contextKey{}, info)
}

// From returns the info of the request that ctx belongs to; the zero value outside of one, as in a job.
func From(ctx context.Context) Info {
	info, _ := ctx.Value(contextKey{}).(Info)
	return info
}
