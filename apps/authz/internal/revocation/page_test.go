package revocation

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const document = `{"cursor": "42", "more": true, "note": "ignored", "entries": [
  {"kind": "session", "id": "s-1", "expires": "2030-01-01T01:00:00+01:00", "because": "logout"},
  {"kind": "subject", "id": "u-1", "not_before": "2029-12-31T23:59:59.25Z", "expires": "2031-01-01T00:00:00Z"}]}`

func TestPageIsRead(t *testing.T) {
	p, err := parsePage([]byte(document))
	require.NoError(t, err)
	require.Equal(t, "42", p.Cursor)
	require.True(t, p.More)
	require.Len(t, p.Entries, 2)
	require.True(t, p.Entries[0].NotBefore.IsZero())
	require.True(t, p.Entries[0].Expires.Equal(at(0)))
	require.True(t, p.Entries[1].NotBefore.Equal(at(-0.75)))
}

func TestPageThatWouldBeReadInPartIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":         `entries`,
		"two documents":    `{"entries":[]}{"entries":[]}`,
		"an error":         `{"error":"no"}`,
		"null":             `null`,
		"no entries":       `{"entries":null,"cursor":"1"}`,
		"unknown kind":     `{"entries":[{"kind":"tenant","id":"x","expires":"2030-01-01T00:00:00Z"}]}`,
		"no id":            `{"entries":[{"kind":"token","expires":"2030-01-01T00:00:00Z"}]}`,
		"a long id":        `{"entries":[{"kind":"token","id":"` + strings.Repeat("x", maxID+1) + `","expires":"2030-01-01T00:00:00Z"}]}`,
		"a long cursor":    `{"entries":[],"cursor":"` + strings.Repeat("x", maxCursor+1) + `"}`,
		"no expiry":        `{"entries":[{"kind":"token","id":"x"}]}`,
		"a number as time": `{"entries":[{"kind":"token","id":"x","expires":1893456000}]}`,
		"the second one":   `{"entries":[{"kind":"token","id":"x","expires":"2030-01-01T00:00:00Z"},{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsePage([]byte(text))
			require.Error(t, err)
		})
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte(`{"entries":[],"cursor":""}`))
	f.Add([]byte(`{"entries":[{"kind":"key","id":"k","not_before":"0001-01-01T00:00:00Z","expires":"9999-12-31T23:59:59Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePage(data)
		if err != nil {
			return
		}
		l, c := newTestList(func(s *Settings) { s.MaxEntries = 1 << 20 })
		require.NoError(t, l.apply(p, c.now()))
		for _, e := range p.Entries {
			require.NoError(t, e.verify())
			facts := map[Kind]Facts{
				Subject: {Subject: e.ID}, Session: {Session: e.ID}, Client: {Client: e.ID}, Token: {TokenID: e.ID}, Key: {KeyID: e.ID},
			}[e.Kind]
			facts.IssuedAt = e.NotBefore
			if e.Expires.After(c.now()) {
				require.True(t, l.Revoked(facts), "what a page that was taken in says holds")
			}
		}
		size := l.size()
		require.NoError(t, l.apply(p, c.now()))
		require.Equal(t, size, l.size(), "a replay changes nothing")
	})
}
