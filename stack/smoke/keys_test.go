//go:build smoke

package smoke

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// issued are the secrets of API keys that tests were given. None may be in a log.
var issued []string

// apiKey is what the API answers about a key that it made or rotated.
type apiKey struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// do is a write of the person's own page.
func (p *person) do(t *testing.T, method, path string, body any) answer {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	return send(t, p.client, request(t, method, path, bytes.NewReader(encoded), "Content-Type", "application/json", "Origin", demo.publicURL))
}

func (p *person) newKey(t *testing.T, shelf string) apiKey {
	t.Helper()
	return p.keyOf(t, http.MethodPost, shelf, map[string]any{"name": "smoke", "scopes": []string{"gateways:read"}}, http.StatusCreated)
}

func (p *person) keyOf(t *testing.T, method, path string, body any, status int) apiKey {
	t.Helper()
	a := p.do(t, method, path, body)
	require.Equal(t, status, a.status, string(a.body))
	var key apiKey
	require.NoError(t, json.Unmarshal(a.body, &key))
	require.NotEmpty(t, key.Secret)
	issued = append(issued, key.Secret)
	return key
}

func TestAnAPIKeyCallsTheAPI(t *testing.T) {
	p := signedIn(t)
	who := p.me(t).identity(t)
	key := p.newKey(t, "/api/me/api-keys")
	a := get(t, "/api/me", "Authorization", "Bearer "+key.Secret)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.JSONEq(t, `{"type":"api_key","id":"`+key.ID+`","user_id":"`+who.ID+`","scopes":["gateways:read"]}`, string(a.body))

	t.Run("whatever else the request carries", func(t *testing.T) {
		stranger := signedIn(t)
		got := stranger.me(t, "Authorization", "Bearer "+key.Secret, "X-User-Id", who.ID, "X-Scopes", "everything")
		require.JSONEq(t, string(a.body), string(got.body))
	})
	t.Run("within its scopes", func(t *testing.T) {
		require.Equal(t, http.StatusOK, get(t, "/api/gateways", "Authorization", "Bearer "+key.Secret).status)
		requireProblem(t, get(t, "/api/organizations", "Authorization", "Bearer "+key.Secret), http.StatusForbidden, "insufficient_scope")
		requireProblem(t, get(t, "/api/me/api-keys", "Authorization", "Bearer "+key.Secret), http.StatusForbidden, "session_required")
	})
	t.Run("of an organization", func(t *testing.T) {
		made := p.do(t, http.MethodPost, "/api/organizations", map[string]any{"name": "Smoke", "slug": "smoke-" + who.ID})
		require.Contains(t, []int{http.StatusCreated, http.StatusAccepted}, made.status, string(made.body))
		var organization struct{ ID string }
		require.NoError(t, json.Unmarshal(made.body, &organization))
		theirs := p.newKey(t, "/api/organizations/"+organization.ID+"/api-keys")
		a := get(t, "/api/me", "Authorization", "Bearer "+theirs.Secret)
		require.JSONEq(t, `{"type":"api_key","id":"`+theirs.ID+`","organization_id":"`+organization.ID+`","scopes":["gateways:read"]}`, string(a.body))
	})
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	key := signedIn(t).newKey(t, "/api/me/api-keys").Secret
	at := strings.LastIndexByte(key, '_')
	for name, token := range map[string]string{
		"mistyped":  key[:20] + "1" + key[21:],
		"cut off":   key[:len(key)-1],
		"prefix":    key[:at],
		"made up":   "gh_dev_" + strings.Repeat("A", 52) + "_00000000",
		"lower":     strings.ToLower(key),
		"capitals":  strings.ToUpper(key),
		"two":       key + "," + key,
		"as basic":  "",
		"truncated": "gh_",
	} {
		authorization := "Bearer " + token
		if token == "" {
			authorization = "Basic " + key
		}
		a := get(t, "/api/me", "Authorization", authorization)
		require.Equal(t, http.StatusUnauthorized, a.status, name)
		requireProblem(t, a, http.StatusUnauthorized, "unauthenticated")
	}
}

func TestARevokedKeyEndsAlthoughTheGateKeepsIt(t *testing.T) {
	p := signedIn(t)
	key := p.newKey(t, "/api/me/api-keys")
	cached(t, "session", bearing(t, key.Secret))
	require.Equal(t, http.StatusNoContent, p.do(t, http.MethodDelete, "/api/me/api-keys/"+key.ID, nil).status)
	refused(t, bearing(t, key.Secret))
}

func TestARotatedKeyEndsAndItsSuccessorWorks(t *testing.T) {
	p := signedIn(t)
	key := p.newKey(t, "/api/me/api-keys")
	cached(t, "session", bearing(t, key.Secret))
	next := p.keyOf(t, http.MethodPost, "/api/me/api-keys/"+key.ID+"/rotate", nil, http.StatusOK)
	require.Equal(t, key.ID, next.ID)
	require.NotEqual(t, key.Secret, next.Secret)
	refused(t, bearing(t, key.Secret))
	cached(t, "session", bearing(t, next.Secret))
	stays(t, bearing(t, next.Secret))
}
