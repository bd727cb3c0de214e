package engine

import (
	"errors"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/revocation"
)

// revoked stops a caller whose credential was taken away, whatever its signature or a cache says of it. That
// nobody can know is an outage.
func revoked(list *revocation.List, s *pipeline.Session) error {
	err := list.Check(revocation.Facts{
		Subject: s.Subject,
		Session: s.Credential.Session, Client: s.Credential.Client, TokenID: s.Credential.Token, KeyID: s.Credential.Key,
		IssuedAt: s.Credential.IssuedAt, Offline: s.Credential.Offline,
	})
	if errors.Is(err, revocation.ErrRevoked) {
		return pipeline.Unauthenticated("%v", err)
	}
	return err
}
