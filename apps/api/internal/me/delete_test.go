package me_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/me"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

// sessions are what Kratos says; everything else panics.
type sessions struct {
	users.Accounts
	of []users.Session
}

func (s sessions) Sessions(context.Context, uuid.UUID) ([]users.Session, error) { return s.of, nil }

func TestSignInThatIsNotRecentDeletesNothing(t *testing.T) {
	now := time.Now()
	caller := principal.Principal{Kind: principal.User, Auth: principal.Session, UserID: uuid.New(), SessionID: "here"}
	fresh := now.Add(-time.Minute)
	for name, found := range map[string][]users.Session{
		"none":                          nil,
		"fifteen minutes old":           {{ID: "here", Active: true, AuthenticatedAt: now.Add(-15 * time.Minute)}},
		"of nobody knows when":          {{ID: "here", Active: true}},
		"recent, and ended":             {{ID: "here", AuthenticatedAt: fresh}},
		"recent, and another's place's": {{ID: "there", Active: true, AuthenticatedAt: fresh}},
	} {
		t.Run(name, func(t *testing.T) {
			operations := me.Operations{Accounts: sessions{of: found}, Now: func() time.Time { return now }}
			_, err := operations.DeleteMe(principal.With(t.Context(), caller), openapi.DeleteMeRequestObject{})
			require.Error(t, err)
			require.Equal(t, problem.RecentLoginRequired, problem.From(err).Code)
		})
	}
}
