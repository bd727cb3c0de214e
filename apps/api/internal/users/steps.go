package users

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"gatehouse.internal/api/internal/feed"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/users/row"
)

// order is what each kind does. New sign-ins are made impossible first, then what was signed in ends at its issuer, and
// only then do the doors hear of it: a door that was told before could be shown what is issued a moment later.
var order = map[Kind][]string{
	// Memberships stay, and with them what the index shows: nobody can prove to be this person meanwhile. Keys rest,
	// for they are their owner's right of the moment.
	Suspend:    {"deactivate_identity", "end_sessions", "end_grants", "publish", "copy_identity"},
	Reactivate: {"activate_identity", "copy_identity"},
	// The identity goes late. Until then Kratos can still say who is meant, and the address cannot be registered anew by
	// somebody who would find half of a person. What an organization owns, clients and keys that the person made for it
	// among them, stays with the organization.
	Delete: {
		"deactivate_identity", "end_sessions", "end_grants", "disable_keys", "publish", "leave_organizations", "delete_identity",
		"anonymise",
	},
}

// following is what is left to do after Kratos was seen to have suspended or deleted somebody by itself. Nothing of it touches the
// identity: should an operator have changed their mind, or a backup have been restored, Kratos' word stands.
var following = map[Kind][]string{
	Suspend: {"end_sessions", "end_grants", "publish", "copy_identity"},
	Delete:  {"end_grants", "disable_keys", "publish", "leave_organizations", "anonymise"},
}

// planned are the steps of a new operation.
func planned(names []string) []Step {
	steps := make([]Step, 0, len(names))
	for _, name := range names {
		steps = append(steps, Step{Name: name})
	}
	return steps
}

// actions are the steps by name. What one does to the database is in the transaction that records it as done.
var actions = map[string]func(s *Saga, ctx context.Context, tx pgx.Tx, operation row.UserOperation) error{
	"deactivate_identity": func(s *Saga, ctx context.Context, _ pgx.Tx, operation row.UserOperation) error {
		return s.setActive(ctx, operation.UserID, false)
	},
	"activate_identity": func(s *Saga, ctx context.Context, _ pgx.Tx, operation row.UserOperation) error {
		return s.setActive(ctx, operation.UserID, true)
	},
	"end_sessions": func(s *Saga, ctx context.Context, _ pgx.Tx, operation row.UserOperation) error {
		return s.accounts.EndSessions(ctx, operation.UserID)
	},
	"end_grants": func(s *Saga, ctx context.Context, _ pgx.Tx, operation row.UserOperation) error {
		return s.grants.EndGrants(ctx, operation.UserID)
	},
	"disable_keys": func(s *Saga, ctx context.Context, tx pgx.Tx, operation row.UserOperation) error {
		keys, err := row.New(tx).RevokeKeys(ctx, &operation.UserID)
		if err != nil {
			return err
		}
		return feed.Publish(ctx, tx, s.refused(keys)...)
	},
	"publish":             (*Saga).publish,
	"copy_identity":       (*Saga).copyIdentity,
	"leave_organizations": (*Saga).leave,
	"delete_identity": func(s *Saga, ctx context.Context, _ pgx.Tx, operation row.UserOperation) error {
		return s.accounts.DeleteIdentity(ctx, operation.UserID)
	},
	"anonymise": func(_ *Saga, ctx context.Context, tx pgx.Tx, operation row.UserOperation) error {
		return row.New(tx).Bury(ctx, operation.UserID)
	},
}

func (s *Saga) setActive(ctx context.Context, user uuid.UUID, wanted bool) error {
	err := s.accounts.SetActive(ctx, user, wanted)
	if errors.Is(err, ErrNoIdentity) { // nobody can sign in
		return nil
	}
	return err
}

const (
	// longest is how long anything that names the person as its subject can last that was issued before: access
	// tokens by far the longest among what a door believes without asking.
	longest = 24 * time.Hour
	// keyMemory is how long a door may remember what the API said of a key, and a minute for clocks that differ. A key that
	// rests must not be refused for longer, since its owner may return.
	keyMemory = 70 * time.Second
)

// publish tells the doors to forget the person. Whatever is issued later is good again, if anything is.
func (s *Saga) publish(ctx context.Context, tx pgx.Tx, operation row.UserOperation) error {
	now := s.Now().UTC()
	keys, err := row.New(tx).LiveKeys(ctx, &operation.UserID)
	if err != nil {
		return err
	}
	subject := feed.Entry{Kind: feed.Subject, ID: operation.UserID.String(), NotBefore: &now, Expires: now.Add(longest)}
	return feed.Publish(ctx, tx, append(s.refused(keys), subject)...)
}

// refused are the entries about keys that the API says no to when it is asked.
func (s *Saga) refused(keys []uuid.UUID) []feed.Entry {
	entries := make([]feed.Entry, 0, len(keys)+1)
	for _, key := range keys {
		entries = append(entries, feed.Entry{Kind: feed.Key, ID: key.String(), Expires: s.Now().Add(keyMemory)})
	}
	return entries
}

// copyIdentity makes the row show what Kratos says by now.
func (s *Saga) copyIdentity(ctx context.Context, tx pgx.Tx, operation row.UserOperation) error {
	_, err := s.directory.converge(ctx, tx, operation.UserID)
	if errors.Is(err, ErrNoIdentity) {
		return nil
	}
	return err
}

// leave takes the person out of everything they belong to. An organization may lose its last owner so: it is then on the
// list of the platform's admins, who give it another. Jobs bring the index up to it; until they have, the person is
// nobody who could ask.
func (s *Saga) leave(ctx context.Context, tx pgx.Tx, operation row.UserOperation) error {
	rows := row.New(tx)
	organizations, err := rows.Leave(ctx, operation.UserID)
	if err != nil {
		return err
	}
	gateways, err := rows.DropGrants(ctx, operation.UserID)
	if err != nil {
		return err
	}
	dismissed, err := rows.Dismiss(ctx, operation.UserID)
	if err != nil {
		return err
	}
	var objects []permission.Object
	for _, id := range organizations {
		objects = append(objects, permission.Of(permission.Organization, id))
	}
	for _, id := range gateways {
		objects = append(objects, permission.Of(permission.Gateway, id))
	}
	if dismissed > 0 {
		objects = append(objects, permission.PlatformObject)
	}
	return s.Touch(ctx, tx, objects...)
}
