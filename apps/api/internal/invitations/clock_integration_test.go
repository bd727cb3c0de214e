//go:build integration

package invitations_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oapi-codegen/runtime/types"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/converge"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/databasetest"
	"gatehouse.internal/api/internal/invitations"
	"gatehouse.internal/api/internal/mail"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
	"gatehouse.internal/api/internal/users"
)

func TestMain(m *testing.M) { databasetest.Main(m) }

// What the suite cannot show from outside is what happens when: here the clock is the test's. Everything is real but Keto,
// Kratos and the mail server.

type office struct {
	t            *testing.T
	operations   *invitations.Operations
	post         *invitations.Post
	pool         *pgxpool.Pool
	now          time.Time
	organization uuid.UUID
	owner, guest users.Identity
	queue        []uuid.UUID
	outbox       []mail.Message
	outage       error
}

// The parts of the office that a change and a mail go through.
func (*office) Touch(context.Context, pgx.Tx, ...permission.Object) ([]converge.Mark, error) {
	return nil, nil
}
func (*office) Await(context.Context, []converge.Mark) (bool, error)          { return true, nil }
func (*office) Withdraw(context.Context, ...permission.Tuple) error           { return nil }
func (o *office) Identity(context.Context, uuid.UUID) (users.Identity, error) { return o.guest, nil }

func (o *office) InsertTx(_ context.Context, _ pgx.Tx, job river.JobArgs) error {
	o.queue = append(o.queue, job.(invitations.Send).Mail)
	return nil
}

func (o *office) Send(_ context.Context, m mail.Message) error {
	if o.outage == nil {
		o.outbox = append(o.outbox, m)
	}
	return o.outage
}

func newOffice(t *testing.T) *office {
	t.Helper()
	db := databasetest.New(t)
	require.NoError(t, database.Migrate{URL: db.URL(t, databasetest.Owner)}.Up(t.Context()))
	pool, err := database.Open(t.Context(), db.URL(t, databasetest.Runtime), 4, 10*time.Second)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	o := &office{
		t: t, pool: pool, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), organization: uuid.New(),
		owner: users.Identity{ID: uuid.New(), Email: "ann@example.com"},
		guest: users.Identity{ID: uuid.New(), Email: "bob@example.com", EmailVerified: true, Active: true},
	}
	for _, person := range []users.Identity{o.owner, o.guest} {
		o.execute("INSERT INTO users (id, email, email_verified, display_name, locale, state) VALUES ($1, $2, true, 'Ann', '', 'active')", person.ID, person.Email)
	}
	o.execute("INSERT INTO organizations (id, slug, name) VALUES ($1, 'acme', 'Acme')", o.organization)
	o.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'owner')", o.organization, o.owner.ID)
	clock := func() time.Time { return o.now }
	settings := invitations.Defaults()
	settings.MailsPerInvitation, settings.MailsPerOrganization = 2, 3
	o.operations = &invitations.Operations{
		Pool: pool, Changes: &change.Changes{Pool: pool, Index: o, Jobs: o, Timeout: 20 * time.Second},
		Identities: o, Settings: settings, Now: clock,
	}
	o.post = &invitations.Post{Pool: pool, Sender: o, PublicURL: "https://gatehouse.example", Now: clock}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	return o
}

func (o *office) execute(statement string, arguments ...any) {
	o.t.Helper()
	_, err := o.pool.Exec(o.t.Context(), statement, arguments...)
	require.NoError(o.t, err)
}

func (o *office) as(person users.Identity) context.Context {
	return principal.With(o.t.Context(), principal.Principal{Kind: principal.User, Auth: principal.Session, UserID: person.ID, SessionID: "s"})
}

func (o *office) invite(email string) (uuid.UUID, error) {
	answer, err := o.operations.CreateInvitation(o.as(o.owner), openapi.CreateInvitationRequestObject{
		Organization: o.organization, Body: &openapi.InvitationInput{Email: types.Email(email), Role: openapi.OrganizationRoleMember},
	})
	if err != nil {
		return uuid.Nil, err
	}
	return answer.(openapi.CreateInvitation201JSONResponse).Body.Id, nil
}

func (o *office) resend(id uuid.UUID) error {
	_, err := o.operations.ResendInvitation(o.as(o.owner), openapi.ResendInvitationRequestObject{Organization: o.organization, Invitation: id})
	return err
}

func (o *office) accept(token string) error {
	_, err := o.operations.AcceptInvitation(o.as(o.guest), openapi.AcceptInvitationRequestObject{Body: &openapi.InvitationToken{Token: token}})
	return err
}

// deliver works through the queue, and returns the token of the last mail.
func (o *office) deliver() string {
	o.t.Helper()
	for _, one := range o.queue {
		require.NoError(o.t, o.post.Send(o.t.Context(), invitations.Send{Mail: one}))
	}
	o.queue = nil
	require.NotEmpty(o.t, o.outbox)
	_, after, _ := strings.Cut(o.outbox[len(o.outbox)-1].Text, "/invitations#")
	token, _, _ := strings.Cut(after, "\n")
	return token
}

func (o *office) refused(code problem.Code, err error) {
	o.t.Helper()
	require.Error(o.t, err)
	require.Equal(o.t, code, problem.From(err).Code, err)
}

func TestAnInvitationEndsAfterSevenDays(t *testing.T) {
	o := newOffice(t)
	id, err := o.invite(o.guest.Email)
	require.NoError(t, err)
	token := o.deliver()
	o.now = o.now.Add(7 * 24 * time.Hour)
	o.refused(problem.InvitationExpired, o.accept(token))

	require.NoError(t, o.resend(id))
	token = o.deliver()
	o.now = o.now.Add(7*24*time.Hour - time.Second)
	require.NoError(t, o.accept(token))
}

func TestMailsAreCountedOverOneDay(t *testing.T) {
	o := newOffice(t)
	id, err := o.invite(o.guest.Email)
	require.NoError(t, err)
	o.now = o.now.Add(12 * time.Hour)
	require.NoError(t, o.resend(id))
	o.refused(problem.RateLimited, o.resend(id))
	_, err = o.invite("carl@example.com")
	require.NoError(t, err)
	_, err = o.invite("dora@example.com")
	o.refused(problem.RateLimited, err)

	o.now = o.now.Add(12 * time.Hour) // the first mail was a day ago
	require.NoError(t, o.resend(id))
	o.refused(problem.RateLimited, o.resend(id))
	_, err = o.invite("dora@example.com")
	o.refused(problem.RateLimited, err)
	o.now = o.now.Add(12 * time.Hour)
	_, err = o.invite("dora@example.com")
	require.NoError(t, err)
}

func TestAMailThatIsNotWantedAnyMoreIsNotSent(t *testing.T) {
	t.Run("because another one was asked for", func(t *testing.T) {
		o := newOffice(t)
		id, err := o.invite(o.guest.Email)
		require.NoError(t, err)
		require.NoError(t, o.resend(id))
		require.NoError(t, o.accept(o.deliver()))
		require.Len(t, o.outbox, 1)
	})
	t.Run("because the invitation was taken back", func(t *testing.T) {
		o := newOffice(t)
		id, err := o.invite(o.guest.Email)
		require.NoError(t, err)
		_, err = o.operations.RevokeInvitation(o.as(o.owner), openapi.RevokeInvitationRequestObject{Organization: o.organization, Invitation: id})
		require.NoError(t, err)
		require.NoError(t, o.post.Send(t.Context(), invitations.Send{Mail: o.queue[0]}))
		require.Empty(t, o.outbox)
	})
	t.Run("because it was sent", func(t *testing.T) {
		o := newOffice(t)
		_, err := o.invite(o.guest.Email)
		require.NoError(t, err)
		o.queue = append(o.queue, o.queue[0]) // a job may run twice
		require.NoError(t, o.accept(o.deliver()))
		require.Len(t, o.outbox, 1)
	})
	t.Run("because its time was over before a mail server took it", func(t *testing.T) {
		o := newOffice(t)
		_, err := o.invite(o.guest.Email)
		require.NoError(t, err)
		o.now = o.now.Add(7 * 24 * time.Hour)
		require.NoError(t, o.post.Send(t.Context(), invitations.Send{Mail: o.queue[0]}))
		require.Empty(t, o.outbox)
	})
}

func TestAnOutageOfTheMailServerIsTriedAgainAndARefusalIsNot(t *testing.T) {
	o := newOffice(t)
	_, err := o.invite(o.guest.Email)
	require.NoError(t, err)
	var cancelled *river.JobCancelError

	o.outage = errors.New("connection refused")
	err = o.post.Send(t.Context(), invitations.Send{Mail: o.queue[0]})
	require.Error(t, err)
	require.NotErrorAs(t, err, &cancelled)
	o.outage = &mail.Refused{Code: 451}
	err = o.post.Send(t.Context(), invitations.Send{Mail: o.queue[0]})
	require.Error(t, err)
	require.NotErrorAs(t, err, &cancelled)
	o.outage = &mail.Refused{Code: 550, Permanent: true}
	require.ErrorAs(t, o.post.Send(t.Context(), invitations.Send{Mail: o.queue[0]}), &cancelled)

	o.outage = nil
	require.NoError(t, o.accept(o.deliver()))
}
