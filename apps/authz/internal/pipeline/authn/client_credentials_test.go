package authn_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func preAuthorized(w *world, secret string) map[string]any {
	return hydra(w, map[string]any{"pre_authorization": map[string]any{
		"enabled": true, "client_id": "door:1", "client_secret": secret, "token_url": w.server.URL + "/oauth2/token",
		"scope": []any{"introspect", "x"}, "audience": "https://hydra",
	}})
}

// grants answers at /oauth2/token with a new token each time, and elsewhere to those who show the last one.
func (w *world) grants(expiresIn string) *int {
	w.knows(map[string]any{"exp": now.Unix() + 3600})
	known, granted := w.answer, 0
	w.answer = func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth2/token" {
			granted++
			_, _ = fmt.Fprintf(out, `{"access_token":"ours-%d","token_type":"bearer"%s}`, granted, expiresIn)
			return
		}
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer ours-%d", granted) {
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		known(out, r)
	}
	return &granted
}

func TestServerThatAsksForATokenOfOursGetsOne(t *testing.T) {
	w := newWorld(t)
	granted := w.grants("")
	_, err := authenticate(t, w.build("oauth2_introspection", preAuthorized(w, "a:b c%")), request(bearer("opaque")))
	require.NoError(t, err)
	require.Equal(t, 1, *granted)
	asked := w.asked[0]
	id, secret, found := asked.BasicAuth()
	require.True(t, found)
	require.Equal(t, []string{"door%3A1", "a%3Ab+c%25"}, []string{id, secret}, "RFC 6749, section 2.3.1")
	require.Equal(t, "client_credentials", asked.PostForm.Get("grant_type"))
	require.Equal(t, "introspect x", asked.PostForm.Get("scope"))
	require.Equal(t, "https://hydra", asked.PostForm.Get("audience"))
}

func TestTokenOfOursIsUsedUntilShortlyBeforeItExpires(t *testing.T) {
	for _, c := range []struct {
		expiresIn string
		want      time.Duration
	}{
		{`,"expires_in":100`, 90 * time.Second}, {"", 5 * time.Minute}, {`,"expires_in":9223372036854775807`, 5 * time.Minute},
	} {
		w := newKeepingWorld(t)
		granted := w.grants(c.expiresIn)
		a := w.build("oauth2_introspection", preAuthorized(w, "s"))
		for i, at := range []time.Duration{0, c.want - 1, c.want} {
			w.at(at)
			_, err := authenticate(t, a, request(bearer(fmt.Sprint("opaque-", i))))
			require.NoError(t, err)
		}
		require.Equal(t, 2, *granted, c.expiresIn)
	}
}

func TestWithoutATokenOfOursNothingIsKnown(t *testing.T) {
	for status, body := range map[int]string{
		http.StatusUnauthorized: "", http.StatusBadGateway: "", http.StatusOK: `{"access_token":""}`,
		http.StatusAccepted: `{"access_token":"x"}`,
	} {
		w := newKeepingWorld(t)
		w.says(status, body)
		_, err := authenticate(t, w.build("oauth2_introspection", preAuthorized(w, "s")), request(bearer("opaque")))
		requireOutage(t, err)
		require.Len(t, w.asked, 1, "the introspection endpoint is not asked")
	}
}
