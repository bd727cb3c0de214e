//go:build smoke

package smoke

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// After all that the other tests made the servers say, and before a restart of compose takes the logs away.
func TestNoSecretIsInALog(t *testing.T) {
	var set struct {
		Keys []struct {
			Private string `json:"d"`
		} `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(running.signingKey(t), &set))
	secrets := []string{demo.clientSecret, demo.password, demoClient().machine(t, url.Values{"audience": {audience()}})}
	for _, key := range set.Keys {
		secrets = append(secrets, key.Private)
	}
	secrets = append(secrets, issued...)
	if s, isNative := running.(nativeStack); isNative {
		for _, secret := range s.secrets(t) {
			secrets = append(secrets, secret)
		}
	}
	logs := running.logs(t)
	require.Contains(t, logs, `"path":"/api/me"`, "the control: these are the logs")
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		if at := strings.Index(logs, secret); at >= 0 {
			line := logs[strings.LastIndex(logs[:at], "\n")+1 : at]
			t.Errorf("a secret is in a log, after: %s", line)
		}
	}
}

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
