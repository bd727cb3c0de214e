package ory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	client "github.com/ory/client-go"

	"gatehouse.internal/api/internal/clients"
)

// mark is what Hydra keeps as the owner of the clients that we made for organizations. Only the admin port sets it.
const mark = "gatehouse"

// clientsPage is how many clients are read at once.
const clientsPage = 250

// RegisterClient implements clients.Server. What is not said here is Hydra's default: consent is asked for, and there is no
// address that Hydra would call.
func (h *Hydra) RegisterClient(ctx context.Context, p clients.Properties) (id, secret string, err error) {
	body := client.NewOAuth2Client()
	body.SetOwner(mark)
	body.SetClientName(p.Name)
	body.SetGrantTypes(p.GrantTypes)
	body.SetResponseTypes(responseTypes(p))
	body.SetRedirectUris(p.RedirectURIs)
	body.SetScope(strings.Join(p.Scopes, " "))
	body.SetAudience(p.Audience)
	body.SetTokenEndpointAuthMethod("client_secret_basic")
	created, response, err := h.api.OAuth2API.CreateOAuth2Client(ctx).OAuth2Client(*body).Execute()
	if err := failed("hydra client", response, err); err != nil {
		return "", "", err
	}
	if created.GetClientId() == "" || created.GetClientSecret() == "" {
		return "", "", errors.New("hydra client: made without an id or a secret")
	}
	return created.GetClientId(), created.GetClientSecret(), nil
}

// SetClient implements clients.Server. It patches, so what an admin of the platform set at Hydra stays.
func (h *Hydra) SetClient(ctx context.Context, id string, p clients.Properties) error {
	return h.patchClient(ctx, id, map[string]any{
		"/client_name": p.Name, "/grant_types": p.GrantTypes, "/response_types": responseTypes(p), "/redirect_uris": p.RedirectURIs,
		"/scope": strings.Join(p.Scopes, " "), "/audience": p.Audience,
	})
}

// SetClientSecret implements clients.Server.
func (h *Hydra) SetClientSecret(ctx context.Context, id, secret string) error {
	return h.patchClient(ctx, id, map[string]any{"/client_secret": secret})
}

func (h *Hydra) patchClient(ctx context.Context, id string, values map[string]any) error {
	patch := make([]client.JsonPatch, 0, len(values))
	for path, value := range values {
		// Adding a member that is there replaces it (RFC 6902, section 4.1); one that is empty may not be there.
		patch = append(patch, client.JsonPatch{Op: "add", Path: path, Value: value})
	}
	_, response, err := h.api.OAuth2API.PatchOAuth2Client(ctx, id).JsonPatch(patch).Execute()
	if isNoClient(response, err) {
		return h.certain(ctx, clients.ErrNoClient)
	}
	return failed("hydra client", response, err)
}

// RemoveClient implements clients.Server. Hydra's tokens of a client go with it.
func (h *Hydra) RemoveClient(ctx context.Context, id string) error {
	response, err := h.api.OAuth2API.DeleteOAuth2Client(ctx, id).Execute()
	if isNoClient(response, err) {
		return h.certain(ctx, nil)
	}
	return failed("hydra client", response, err)
}

// EndClientTokens implements clients.Server.
func (h *Hydra) EndClientTokens(ctx context.Context, id string) error {
	response, err := h.api.OAuth2API.DeleteOAuth2Token(ctx).ClientId(id).Execute()
	return failed("hydra tokens of a client", response, err)
}

// MarkedClient implements clients.Server.
func (h *Hydra) MarkedClient(ctx context.Context, id string) (bool, error) {
	found, response, err := h.api.OAuth2API.GetOAuth2Client(ctx, id).Execute()
	if isNoClient(response, err) {
		return false, h.certain(ctx, nil)
	}
	if err := failed("hydra client", response, err); err != nil {
		return false, err
	}
	return found.GetOwner() == mark, nil
}

// MarkedClients implements clients.Server.
func (h *Hydra) MarkedClients(ctx context.Context, token string) ([]clients.Registered, string, error) {
	ask := h.api.OAuth2API.ListOAuth2Clients(ctx).Owner(mark).PageSize(clientsPage)
	if token != "" {
		ask = ask.PageToken(token)
	}
	found, response, err := ask.Execute()
	if err := failed("hydra clients", response, err); err != nil {
		return nil, "", err
	}
	page := make([]clients.Registered, 0, len(found))
	for _, c := range found {
		if c.GetOwner() != mark { // whoever removes what this returns must not depend on a filter
			return nil, "", fmt.Errorf("hydra clients: client %q is another's", c.GetClientId())
		}
		page = append(page, clients.Registered{ID: c.GetClientId(), CreatedAt: c.GetCreatedAt(), Properties: clients.Properties{
			Name: c.GetClientName(), GrantTypes: c.GrantTypes, RedirectURIs: c.RedirectUris,
			Scopes: strings.Fields(c.GetScope()), Audience: c.Audience,
		}})
	}
	if len(found) == 0 { // Hydra v2.3 names a next page after the last one
		return nil, "", nil
	}
	next := nextPage(response.Header)
	if next != "" && next == token {
		return nil, "", errors.New("hydra clients: a page that is followed by itself")
	}
	return page, next, nil
}

// responseTypes are none for a client that has no people: Hydra's authorization endpoint then knows nothing of it.
func responseTypes(p clients.Properties) []string {
	if slices.Contains(p.GrantTypes, "authorization_code") {
		return []string{"code"}
	}
	return []string{}
}

// isNoClient tells whether Hydra itself says that there is no such client, which a wrong address does not: Hydra's errors
// are OAuth 2.0's.
func isNoClient(response *http.Response, err error) bool {
	if status(response) != http.StatusNotFound {
		return false
	}
	var answer struct {
		Error string `json:"error"`
	}
	body, ok := errors.AsType[*client.GenericOpenAPIError](err)
	return ok && json.Unmarshal(body.Body(), &answer) == nil && answer.Error != ""
}
