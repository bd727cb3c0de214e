package ory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	client "github.com/ory/client-go"

	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/users"
)

// KratosPublic answers for sessions. It implements principal.Sessions.
type KratosPublic struct{ server }

// NewKratosPublic speaks to Kratos' public port.
func NewKratosPublic(base string, c *http.Client) *KratosPublic {
	return &KratosPublic{newServer(base, "/health/ready", c)}
}

// Session implements principal.Sessions.
func (k *KratosPublic) Session(ctx context.Context, cookies ...string) (principal.KratosSession, error) {
	header := make([]string, 0, len(cookies))
	for _, value := range cookies {
		header = append(header, (&http.Cookie{Name: principal.SessionCookie, Value: value}).String())
	}
	session, response, err := k.api.FrontendAPI.ToSession(ctx).Cookie(strings.Join(header, "; ")).Execute()
	switch {
	case status(response) == http.StatusUnauthorized:
		return principal.KratosSession{}, k.certain(ctx, principal.ErrRejected)
	case status(response) == http.StatusForbidden && errorID(err) == "session_aal2_required":
		return principal.KratosSession{}, principal.ErrStepUp
	case err != nil:
		return principal.KratosSession{}, fmt.Errorf("kratos whoami: %d: %w", status(response), clean(err))
	case !session.GetActive() || session.Identity == nil || session.Identity.GetState() == stateInactive:
		return principal.KratosSession{}, principal.ErrRejected
	}
	person, err := identity(session.Identity)
	if err != nil {
		return principal.KratosSession{}, fmt.Errorf("kratos whoami: %w", err)
	}
	return principal.KratosSession{
		ID: session.Id, AAL: string(session.GetAuthenticatorAssuranceLevel()),
		UserID: person.ID, Email: person.Email, EmailVerified: person.EmailVerified,
	}, nil
}

// KratosAdmin reads identities and ends what belongs to them. It implements users.Census, users.Accounts
// and users.Addresses.
type KratosAdmin struct{ server }

// NewKratosAdmin speaks to Kratos' admin port.
func NewKratosAdmin(base string, c *http.Client) *KratosAdmin {
	return &KratosAdmin{newServer(base, "/admin/health/ready", c)}
}

// Identity implements users.Identities. That there is none buries the user's row, so it must be Kratos'
// own word on the admin port (where alone the readiness path exists), not any 404 of a wrong address.
func (k *KratosAdmin) Identity(ctx context.Context, id uuid.UUID) (users.Identity, error) {
	found, response, err := k.api.IdentityAPI.GetIdentity(ctx, id.String()).Execute()
	switch {
	case isMissing(response, err):
		return users.Identity{}, k.certain(ctx, users.ErrNoIdentity)
	case err != nil:
		return users.Identity{}, fmt.Errorf("kratos identity: %d: %w", status(response), clean(err))
	}
	person, err := identity(found)
	if err == nil && person.ID != id {
		err = errors.New("another identity than the one asked for")
	}
	if err != nil {
		return users.Identity{}, fmt.Errorf("kratos identity: %w", err)
	}
	return person, nil
}

// pageSize of a census: Kratos answers this many in some 20 ms, far below the timeout of a call.
const pageSize = 250

// Page implements users.Census.
func (k *KratosAdmin) Page(ctx context.Context, token string) ([]users.Identity, string, error) {
	ask := k.api.IdentityAPI.ListIdentities(ctx).PageSize(pageSize)
	if token != "" {
		ask = ask.PageToken(token)
	}
	found, response, err := ask.Execute()
	if err != nil {
		return nil, "", fmt.Errorf("kratos identities: %d: %w", status(response), clean(err))
	}
	page := make([]users.Identity, 0, len(found))
	for i := range found {
		person, err := identity(&found[i])
		if err != nil {
			return nil, "", fmt.Errorf("kratos identities: %w", err)
		}
		page = append(page, person)
	}
	next := nextPage(response.Header)
	if next != "" && next == token {
		return nil, "", errors.New("kratos identities: a page that is followed by itself")
	}
	return page, next, nil
}

// nextPage reads the token of the next page out of the Link headers (RFC 8288), "" after the last one. The
// token is Kratos' to choose: an id in one generation, ciphertext in another.
func nextPage(header http.Header) string {
	for _, line := range header.Values("Link") {
		for link := range strings.SplitSeq(line, ",") {
			target, relation, _ := strings.Cut(link, ";")
			target = strings.TrimSpace(target)
			if !strings.Contains(relation, `rel="next"`) || !strings.HasPrefix(target, "<") || !strings.HasSuffix(target, ">") {
				continue
			}
			if parsed, err := url.Parse(target[1 : len(target)-1]); err == nil {
				return parsed.Query().Get("page_token")
			}
		}
	}
	return ""
}

// SetActive implements users.Accounts.
func (k *KratosAdmin) SetActive(ctx context.Context, id uuid.UUID, active bool) error {
	state := "active"
	if !active {
		state = stateInactive
	}
	_, response, err := k.api.IdentityAPI.PatchIdentity(ctx, id.String()).
		JsonPatch([]client.JsonPatch{{Op: "replace", Path: "/state", Value: state}}).Execute()
	if isMissing(response, err) {
		return k.certain(ctx, users.ErrNoIdentity)
	}
	return failed("kratos state", response, err)
}

// DeleteIdentity implements users.Accounts.
func (k *KratosAdmin) DeleteIdentity(ctx context.Context, id uuid.UUID) error {
	response, err := k.api.IdentityAPI.DeleteIdentity(ctx, id.String()).Execute()
	if isMissing(response, err) {
		return k.certain(ctx, nil)
	}
	return failed("kratos deletion", response, err)
}

// EndSessions implements users.Accounts. Kratos says 404 of somebody without a session.
func (k *KratosAdmin) EndSessions(ctx context.Context, id uuid.UUID) error {
	response, err := k.api.IdentityAPI.DeleteIdentitySessions(ctx, id.String()).Execute()
	if isMissing(response, err) {
		return k.certain(ctx, nil)
	}
	return failed("kratos sessions", response, err)
}

// EndSession implements users.Accounts.
func (k *KratosAdmin) EndSession(ctx context.Context, session string) error {
	response, err := k.api.IdentityAPI.DisableSession(ctx, session).Execute()
	if isMissing(response, err) {
		return k.certain(ctx, nil)
	}
	return failed("kratos session", response, err)
}

// sessionsAtMost is how many sessions of one person are read. Older ones count for nothing: they expire within a day.
const sessionsAtMost = 250

// Sessions implements users.Accounts.
func (k *KratosAdmin) Sessions(ctx context.Context, id uuid.UUID) ([]users.Session, error) {
	found, response, err := k.api.IdentityAPI.ListIdentitySessions(ctx, id.String()).PageSize(sessionsAtMost).Execute()
	if isMissing(response, err) {
		return nil, k.certain(ctx, nil)
	}
	if err := failed("kratos sessions", response, err); err != nil {
		return nil, err
	}
	sessions := make([]users.Session, 0, len(found))
	for _, session := range found {
		one := users.Session{
			ID: session.Id, Active: session.GetActive(), AAL: string(session.GetAuthenticatorAssuranceLevel()),
			AuthenticatedAt: session.GetAuthenticatedAt(), ExpiresAt: session.GetExpiresAt(),
		}
		if len(session.Devices) > 0 { // the last one that used it
			device := session.Devices[len(session.Devices)-1]
			one.Address, one.UserAgent = device.GetIpAddress(), device.GetUserAgent()
		}
		sessions = append(sessions, one)
	}
	return sessions, nil
}

// ByAddress implements users.Addresses.
func (k *KratosAdmin) ByAddress(ctx context.Context, address string) ([]users.Identity, error) {
	found, response, err := k.api.IdentityAPI.ListIdentities(ctx).CredentialsIdentifier(address).Execute()
	if err := failed("kratos identities", response, err); err != nil {
		return nil, err
	}
	out := make([]users.Identity, 0, len(found))
	for i := range found {
		person, err := identity(&found[i])
		if err != nil {
			return nil, fmt.Errorf("kratos identities: %w", err)
		}
		out = append(out, person)
	}
	return out, nil
}

// isMissing tells whether Kratos itself says that there is no such thing, which a wrong address does not.
func isMissing(response *http.Response, err error) bool {
	return status(response) == http.StatusNotFound && errorCode(err) == http.StatusNotFound
}

const stateInactive = "inactive"

// identity reads what the API copies. An address counts as verified only when it is the one in the
// traits and Kratos says so.
func identity(found *client.Identity) (users.Identity, error) {
	id, err := uuid.Parse(found.Id)
	if err != nil {
		return users.Identity{}, fmt.Errorf("identity id: %w", err)
	}
	encoded, err := json.Marshal(found.Traits)
	if err != nil {
		return users.Identity{}, fmt.Errorf("traits: %w", err)
	}
	var traits struct {
		Email  string `json:"email"`
		Name   string `json:"name"`
		Locale string `json:"locale"`
	}
	if err := json.Unmarshal(encoded, &traits); err != nil {
		return users.Identity{}, fmt.Errorf("traits: %w", err)
	}
	out := users.Identity{
		ID: id, Email: traits.Email, Name: traits.Name, Locale: traits.Locale,
		Active: found.GetState() != stateInactive,
	}
	for _, address := range found.VerifiableAddresses {
		if address.Via == "email" && strings.EqualFold(address.Value, traits.Email) {
			out.EmailVerified = out.EmailVerified || address.Verified
		}
	}
	return out, nil
}

// genericError is the shape of Kratos' errors.
type genericError struct {
	Error struct {
		ID   string `json:"id"`
		Code int    `json:"code"`
	} `json:"error"`
}

func parsed(err error) genericError {
	var out genericError
	if answer, ok := errors.AsType[*client.GenericOpenAPIError](err); ok {
		_ = json.Unmarshal(answer.Body(), &out) // not JSON: not Kratos' word, which the zero value says
	}
	return out
}

func errorID(err error) string { return parsed(err).Error.ID }
func errorCode(err error) int  { return parsed(err).Error.Code }
