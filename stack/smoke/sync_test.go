//go:build smoke

package smoke

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// await returns when the condition holds in the API's database, for whose end no request can wait.
func await(t *testing.T, condition string) {
	t.Helper()
	running.sql(t, "gatehouse", `DO $$ BEGIN
		FOR try IN 1..300 LOOP
			IF `+condition+` THEN RETURN; END IF;
			PERFORM pg_sleep(0.1);
		END LOOP;
		RAISE EXCEPTION 'it did not come about';
	END $$`)
}

func TestKratosTellsTheAPIWhoRegistered(t *testing.T) {
	p := newPerson(t)
	p.register(t)
	await(t, "EXISTS (SELECT FROM users WHERE email = '"+p.email+"')") // the person has asked the API nothing
}

func (p *person) whoami(t *testing.T) answer {
	t.Helper()
	return send(t, p.client, request(t, http.MethodGet, "/.ory/sessions/whoami", nil, "Accept", "application/json"))
}

func TestANewPasswordEndsTheOtherSessionsAndTheDoorHearsOfIt(t *testing.T) {
	p := signedIn(t)
	elsewhere := &person{email: p.email, password: p.password, client: browser(t)}
	elsewhere.logIn(t)
	elsewhere.me(t).identity(t) // the door may remember the session from now on
	var session struct {
		ID uuid.UUID `json:"id"`
	}
	require.NoError(t, json.Unmarshal(elsewhere.whoami(t).body, &session))

	f := p.begin(t, "/.ory/self-service/settings/browser")
	a := p.submit(t, f, map[string]any{"method": "password", "password": "changed-" + rand.Text()})
	require.Equal(t, http.StatusOK, a.status, string(a.body))

	require.Equal(t, http.StatusUnauthorized, elsewhere.whoami(t).status)
	await(t, "EXISTS (SELECT FROM revocations WHERE kind = 'session' AND subject_id = '"+session.ID.String()+"')")
	eventually(t, http.StatusUnauthorized, func() answer { return elsewhere.me(t) })
	p.me(t).identity(t)
}

func TestAPersonSignsOutEverywhereElse(t *testing.T) {
	p := signedIn(t)
	elsewhere := &person{email: p.email, password: p.password, client: browser(t)}
	elsewhere.logIn(t)
	elsewhere.me(t).identity(t)

	a := send(t, p.client, request(t, http.MethodDelete, "/api/me/sessions", nil, "Origin", demo.publicURL))
	require.Equal(t, http.StatusNoContent, a.status, string(a.body))

	require.Equal(t, http.StatusUnauthorized, elsewhere.whoami(t).status)
	eventually(t, http.StatusUnauthorized, func() answer { return elsewhere.me(t) })
	p.me(t).identity(t)
}
