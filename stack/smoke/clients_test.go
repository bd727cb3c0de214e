//go:build smoke

package smoke

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// post sends what a page of ours would, and reads the answer into out.
func (p *person) post(t *testing.T, path string, body, out any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	a := send(t, p.client, request(t, http.MethodPost, path, bytes.NewReader(encoded), "Content-Type", "application/json", "Origin", demo.publicURL))
	require.Less(t, a.status, 300, string(a.body))
	require.NoError(t, json.Unmarshal(a.body, out))
}

func TestADisabledClientOfAnOrganizationIsOut(t *testing.T) {
	p := signedIn(t)
	var organization, made, changed struct {
		ID     string `json:"id"`
		Secret string `json:"client_secret"`
	}
	p.post(t, "/api/organizations", map[string]any{"name": "Clients", "slug": "clients-" + p.me(t).identity(t).ID[:8]}, &organization)
	list := "/api/organizations/" + organization.ID + "/clients"
	p.post(t, list, map[string]any{"name": "Batch", "grant_types": []string{"client_credentials"}, "scopes": []string{"gateways:read"}}, &made)
	c := oauthClient{made.ID, made.Secret}
	ask := url.Values{"grant_type": {"client_credentials"}, "audience": {audience()}, "scope": {"gateways:read"}}
	token := c.token(t, ask).Access
	cached(t, "introspection", bearing(t, token))

	p.post(t, list+"/"+c.id+"/disable", map[string]any{}, &changed)
	refused(t, bearing(t, token))
	require.Equal(t, http.StatusForbidden, form(t, "/oauth2/token", ask, "Authorization", c.basic()).status)

	p.post(t, list+"/"+c.id+"/enable", map[string]any{}, &changed)
	eventually(t, http.StatusOK, func() answer { return form(t, "/oauth2/token", ask, "Authorization", c.basic()) })
}
