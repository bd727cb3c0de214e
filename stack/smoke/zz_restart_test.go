//go:build smoke

package smoke

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARestartOfEverythingKeepsSessionsTokensAndData(t *testing.T) {
	p := signedIn(t)
	who := p.me(t).identity(t)
	token := demoClient().machine(t, url.Values{"audience": {audience()}})
	keys := keyIDs(t)

	running.restart(t)

	require.Equal(t, who, eventually(t, http.StatusOK, func() answer { return p.me(t) }).identity(t))
	require.Equal(t, demo.clientID, get(t, "/api/me", "Authorization", "Bearer "+token).identity(t).ID)
	require.ElementsMatch(t, keys, keyIDs(t), "Hydra's signing keys")
	p.client = browser(t)
	p.logIn(t)
	require.Equal(t, who.ID, p.me(t).identity(t).ID)
}

func keyIDs(t *testing.T) []string {
	t.Helper()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(get(t, "/.well-known/jwks.json").body, &set))
	var ids []string
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
	}
	require.NotEmpty(t, ids)
	return ids
}
