// Package clients is about OAuth 2.0 clients that organizations own. Hydra has the client and its secret; a row here says
// whose it is and what it may have.
//
// A client that Hydra has for an organization bears our mark. One without the mark is another's and is left alone: not
// refused, not changed, not removed. No secret is kept here; one passes through, once, to whoever asked for it.
package clients

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/clients/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

// Properties are what an organization decides about a client. Whatever else Hydra knows of clients, skipped consent and
// addresses that Hydra itself would call among it, is not theirs to decide.
type Properties struct {
	Name         string
	GrantTypes   []string
	RedirectURIs []string
	Scopes       []string
	Audience     []string
}

// Registered is a client of ours as Hydra has it.
type Registered struct {
	ID        string
	CreatedAt time.Time
	Properties
}

// ErrNoClient says that Hydra certainly has no such client.
var ErrNoClient = errors.New("no such client")

// Server is Hydra.
type Server interface {
	// RegisterClient makes a client with our mark. Hydra chooses its id and its secret.
	RegisterClient(ctx context.Context, p Properties) (id, secret string, err error)
	// SetClient gives a client other properties; its secret stays. ErrNoClient when there is none.
	SetClient(ctx context.Context, id string, p Properties) error
	// SetClientSecret replaces the secret. ErrNoClient when there is none.
	SetClientSecret(ctx context.Context, id, secret string) error
	// RemoveClient removes a client with its tokens. That there is none is success.
	RemoveClient(ctx context.Context, id string) error
	// EndClientTokens ends the access tokens that were given to a client, if there is one.
	EndClientTokens(ctx context.Context, id string) error
	// MarkedClient tells whether there is a client with our mark.
	MarkedClient(ctx context.Context, id string) (bool, error)
	// MarkedClients returns one page of the clients with our mark, and the token of the next page, "" after the last.
	MarkedClients(ctx context.Context, token string) ([]Registered, string, error)
}

// Operations are the use cases.
type Operations struct {
	Pool    *pgxpool.Pool
	Changes *change.Changes
	Server  Server
	// Scopes are those that the API's document names, Audience is the API's own.
	Scopes   []string
	Audience string
}

func answer(c row.Oauth2Client) openapi.Client {
	grants := make([]openapi.ClientGrantType, 0, len(c.GrantTypes))
	for _, grant := range c.GrantTypes {
		grants = append(grants, openapi.ClientGrantType(grant))
	}
	out := openapi.Client{
		Id: c.ID, OrganizationId: c.OrganizationID, Name: c.Name, GrantTypes: grants, RedirectUris: c.RedirectUris,
		Scopes: c.Scopes, Audience: c.Audience, Disabled: c.DisabledAt != nil,
		CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(),
	}
	if c.LastSeenAt != nil {
		seen := c.LastSeenAt.UTC()
		out.LastSeenAt = &seen
	}
	return out
}

// credential is the one answer that holds a secret. It is never stored.
func credential(c row.Oauth2Client, secret string) openapi.ClientCredential {
	a := answer(c)
	return openapi.ClientCredential{
		Id: a.Id, OrganizationId: a.OrganizationId, Name: a.Name, GrantTypes: a.GrantTypes, RedirectUris: a.RedirectUris,
		Scopes: a.Scopes, Audience: a.Audience, Disabled: a.Disabled, LastSeenAt: a.LastSeenAt,
		CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, ClientSecret: &secret,
	}
}

// recorded is what the audit log shows of a client.
type recorded struct {
	Name         string   `json:"name"`
	GrantTypes   []string `json:"grant_types"`
	RedirectURIs []string `json:"redirect_uris"`
	Scopes       []string `json:"scopes"`
	Audience     []string `json:"audience"`
	Disabled     bool     `json:"disabled"`
}

func record(c row.Oauth2Client) recorded {
	return recorded{c.Name, c.GrantTypes, c.RedirectUris, c.Scopes, c.Audience, c.DisabledAt != nil}
}

func target(id string) audit.Target { return audit.Target{Kind: "client", ID: id} }

func properties(c row.Oauth2Client) Properties {
	return Properties{Name: c.Name, GrantTypes: c.GrantTypes, RedirectURIs: c.RedirectUris, Scopes: c.Scopes, Audience: c.Audience}
}

func location(organization uuid.UUID, id string) *string {
	out := "/api/organizations/" + organization.String() + "/clients/" + id
	return &out
}

// refused says that Hydra did not do what the change needs.
func refused(err error) error {
	return problem.New(problem.Unavailable, "Clients cannot be changed right now. Try again.").Because(err)
}
