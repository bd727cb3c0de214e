//go:build story

package story

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// story is told in chapters; what one makes the next ones use.
type story struct {
	*stack
	ann, bob, key *caller
	organization  string
	gateway       string
	product       string
	consistency   string
}

func TestStory(t *testing.T) {
	s := &story{stack: running(t)}
	for _, chapter := range []struct {
		name string
		tell func(*story)
	}{
		{"Two people", people},
		{"An organization", organization},
		{"An invitation, by mail", invitation},
		{"Roles", roles},
		{"A gateway", gateway},
		{"Rights on it", grants},
		{"A configuration, published and rolled back", configuration},
		{"A product", product},
		{"A key", key},
		{"A client", client},
		{"The audit log", audit},
		{"Somebody is suspended", suspension},
	} {
		fmt.Printf("\n%s\n", chapter.name)
		chapter.tell(s)
		if t.Failed() {
			return
		}
	}
}

// does sends a request, prints what became of it, and requires that: a status of its own or, for a change, that of
// one which the index does not show yet.
func (s *story) does(who *caller, what string, status int, method, target string, body any) answer {
	s.t.Helper()
	who.consistency = s.consistency
	a := who.send(method, target, body)
	s.tell(who, what, a.status)
	if token := a.header.Get("Consistency-Token"); a.status == http.StatusAccepted && token != "" && status < 300 {
		s.consistency = token
		return a
	}
	require.Equal(s.t, status, a.status, "%s %s: %s %s: %s", who.name, what, method, target, a.body)
	return a
}

// comesTo is does for what takes a moment to reach the door.
func (s *story) comesTo(who *caller, what string, statuses []int, method, target string) {
	s.t.Helper()
	var last int
	require.Eventually(s.t, func() bool {
		last = who.send(method, target, nil).status
		for _, status := range statuses {
			if last == status {
				return true
			}
		}
		return false
	}, patience, 50*time.Millisecond, "%s %s", who.name, what)
	s.tell(who, what, last)
}

func (s *story) tell(who *caller, what string, status int) {
	verdict := "allowed"
	if status >= 400 {
		verdict = "DENIED "
	}
	fmt.Printf("  %s %d  %-8s %s\n", verdict, status, who.name, what)
}

// Statuses by their meaning here.
const (
	made      = http.StatusCreated
	done      = http.StatusOK
	gone      = http.StatusNoContent
	forbidden = http.StatusForbidden
	hidden    = http.StatusNotFound
	unknown   = http.StatusUnauthorized
)

func slug(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()) }

func people(s *story) {
	s.ann, s.bob = s.register("Ann"), s.register("Bob")
	s.does(s.ann, "sees who she is", done, http.MethodGet, "/api/me", nil)
	s.does(s.bob, "sees who he is", done, http.MethodGet, "/api/me", nil)
	s.does(s.browser("Nobody"), "asks the same without an account", unknown, http.MethodGet, "/api/me", nil)
}

func organization(s *story) {
	a := s.does(s.ann, "makes the organization Acme, and owns it", made, http.MethodPost, "/api/organizations",
		map[string]any{"name": "Acme", "slug": slug("acme")})
	s.organization = "/api/organizations/" + a.text(s.t, "id")
	s.does(s.bob, "looks at it, and learns not even that it exists", hidden, http.MethodGet, s.organization, nil)
}

func invitation(s *story) {
	invite := map[string]any{"email": s.bob.email, "role": "member", "locale": "en"}
	s.does(s.bob, "invites himself", hidden, http.MethodPost, s.organization+"/invitations", invite)
	s.does(s.ann, "invites Bob as a member", made, http.MethodPost, s.organization+"/invitations", invite)
	token := map[string]any{"token": s.mailed(s.bob.email, regexp.MustCompile(`/invitations#([A-Za-z0-9_-]{43})`))}
	s.does(s.ann, "opens the link of Bob's mail herself", forbidden, http.MethodPost, "/api/invitations/accept", token)
	s.does(s.bob, "opens it, and sees who invites him", done, http.MethodPost, "/api/invitations/preview", token)
	s.does(s.bob, "accepts", done, http.MethodPost, "/api/invitations/accept", token)
	s.does(s.bob, "looks at the organization", done, http.MethodGet, s.organization, nil)
}

func roles(s *story) {
	renamed := map[string]any{"name": "Acme Ltd"}
	role := func(name string) map[string]any { return map[string]any{"role": name} }
	bob, ann := s.organization+"/members/"+s.bob.id, s.organization+"/members/"+s.ann.id
	s.does(s.bob, "renames the organization, as a member", forbidden, http.MethodPatch, s.organization, renamed)
	s.does(s.bob, "makes himself an admin", forbidden, http.MethodPatch, bob, role("admin"))
	s.does(s.ann, "makes Bob an admin", done, http.MethodPatch, bob, role("admin"))
	s.does(s.bob, "renames the organization, as an admin", done, http.MethodPatch, s.organization, renamed)
	s.does(s.bob, "makes himself an owner", forbidden, http.MethodPatch, bob, role("owner"))
	s.does(s.bob, "takes the owner's role from Ann", forbidden, http.MethodPatch, ann, role("member"))
	s.does(s.ann, "gives up her role as the last owner", http.StatusConflict, http.MethodPatch, ann, role("member"))
	s.does(s.ann, "makes Bob a member again", done, http.MethodPatch, bob, role("member"))
	s.does(s.bob, "renames the organization once more", forbidden, http.MethodPatch, s.organization, renamed)
}

func grants(s *story) {
	grant := s.gateway + "/grants/user/" + s.bob.id
	config := map[string]any{"config": map[string]any{"routes": []any{}}, "note": "Nothing yet"}
	s.does(s.bob, "looks at the gateway, as a member of the organization", done, http.MethodGet, s.gateway, nil)
	s.does(s.bob, "publishes a configuration", forbidden, http.MethodPut, s.gateway+"/config", config)
	s.does(s.bob, "makes himself an editor of it", forbidden, http.MethodPut, grant, map[string]any{"role": "editor"})
	s.does(s.ann, "makes Bob an editor of it", done, http.MethodPut, grant, map[string]any{"role": "editor"})
	s.does(s.bob, "deletes it, as an editor", forbidden, http.MethodDelete, s.gateway, nil)
	s.does(s.ann, "sees who has access, and why", done, http.MethodGet, s.gateway+"/access", nil)
}

func gateway(s *story) {
	input := func(name string) map[string]any {
		return map[string]any{"name": name, "slug": slug("gateway"), "upstream": "https://backend.example"}
	}
	a := s.does(s.ann, "makes a gateway", made, http.MethodPost, s.organization+"/gateways", input("Weather"))
	s.gateway = "/api/gateways/" + a.text(s.t, "id")
	internal := input("Inside")
	internal["upstream"] = "http://127.0.0.1:4434"
	s.does(s.ann, "makes one to a server of the platform's own machine", http.StatusUnprocessableEntity, http.MethodPost, s.organization+"/gateways", internal)
}

func configuration(s *story) {
	with := func(path, note string) map[string]any {
		route := map[string]any{"path": path, "methods": []string{"GET"}, "flow_type": "public"}
		return map[string]any{"config": map[string]any{"routes": []any{route}}, "note": note}
	}
	publisher := s.bob
	first := s.does(publisher, "publishes revision 1", done, http.MethodPut, s.gateway+"/config", with("/v1/**", "The first"))
	require.Equal(s.t, "1", first.text(s.t, "number"))
	second := s.does(publisher, "publishes revision 2", done, http.MethodPut, s.gateway+"/config", with("/v2/**", "A mistake"))
	require.Equal(s.t, "2", second.text(s.t, "number"))
	s.does(s.ann, "looks at what it changed", done, http.MethodGet, s.gateway+"/revisions/2/diff", nil)
	third := s.does(publisher, "rolls back to revision 1, which makes revision 3", made, http.MethodPost, s.gateway+"/revisions/1/restore", nil)
	require.Equal(s.t, "1", third.text(s.t, "restores"))
	s.does(s.ann, "publishes a route that is broken", http.StatusBadRequest, http.MethodPut, s.gateway+"/config", with("no-slash", ""))
}

func product(s *story) {
	name := slug("product")
	a := s.does(s.ann, "makes a private product", made, http.MethodPost, s.gateway+"/products",
		map[string]any{"name": "Forecast " + name, "slug": name, "visibility": "private"})
	s.product = "/api/products/" + a.text(s.t, "id")
	anybody := s.browser("Anybody")
	found := func() string {
		return string(s.does(anybody, "searches the directory", done, http.MethodGet, "/api/public/directory?q="+name, nil).body)
	}
	require.NotContains(s.t, found(), name)
	s.does(s.ann, "makes it public", done, http.MethodPut, s.product, map[string]any{"name": "Forecast " + name, "slug": name, "visibility": "public"})
	s.does(s.bob, "publishes it, as an editor", forbidden, http.MethodPut, s.product+"/publication", nil)
	s.does(s.ann, "publishes it", done, http.MethodPut, s.product+"/publication", nil)
	require.Contains(s.t, found(), name)
}

func key(s *story) {
	a := s.does(s.ann, "makes an API key that may read gateways", made, http.MethodPost, s.organization+"/api-keys",
		map[string]any{"name": "Reader", "scopes": []string{"gateways:read"}})
	s.key = s.machine("The key", a.text(s.t, "secret"))
	grant := s.gateway + "/grants/api_key/" + a.text(s.t, "id")
	s.does(s.key, "reads the gateway, on which it was given nothing", hidden, http.MethodGet, s.gateway, nil)
	s.does(s.ann, "makes the key an editor of the gateway", done, http.MethodPut, grant, map[string]any{"role": "editor"})
	s.does(s.key, "reads the gateway", done, http.MethodGet, s.gateway, nil)
	s.does(s.key, "publishes a configuration, for which its scopes do not suffice", forbidden, http.MethodPut, s.gateway+"/config",
		map[string]any{"config": map[string]any{"routes": []any{}}})
	s.does(s.key, "makes another key", forbidden, http.MethodPost, s.organization+"/api-keys", map[string]any{"name": "Copy", "scopes": []string{"gateways:read"}})
	s.does(s.ann, "revokes the key", gone, http.MethodDelete, s.organization+"/api-keys/"+a.text(s.t, "id"), nil)
	s.comesTo(s.key, "reads the gateway once more", []int{unknown}, http.MethodGet, s.gateway)
}

func client(s *story) {
	scopes := []string{"gateways:read", "products:read"}
	a := s.does(s.ann, "makes an OAuth 2.0 client for a machine", made, http.MethodPost, s.organization+"/clients",
		map[string]any{"name": "Machine", "grant_types": []string{"client_credentials"}, "scopes": scopes})
	id := a.text(s.t, "id")
	machine := s.machine("Machine", s.token(id, a.text(s.t, "client_secret"), scopes...))
	s.does(machine, "asks who it is", done, http.MethodGet, "/api/me", nil)
	s.does(machine, "reads the gateway, on which it was given nothing", hidden, http.MethodGet, s.gateway, nil)
	s.does(s.ann, "makes the machine an editor of the gateway", done, http.MethodPut, s.gateway+"/grants/client/"+id, map[string]any{"role": "editor"})
	s.does(machine, "reads the gateway", done, http.MethodGet, s.gateway, nil)
	s.does(machine, "reads a product of the gateway", done, http.MethodGet, s.product, nil)
	s.does(machine, "publishes a configuration, for which its scopes do not suffice", forbidden, http.MethodPut, s.gateway+"/config",
		map[string]any{"config": map[string]any{"routes": []any{}}})
	s.does(machine, "reads the audit log", forbidden, http.MethodGet, s.organization+"/audit", nil)
	s.does(s.ann, "disables the machine", done, http.MethodPost, s.organization+"/clients/"+id+"/disable", nil)
	s.comesTo(machine, "reads the gateway once more, with the token that it has", []int{unknown, forbidden}, http.MethodGet, s.gateway)
}

func audit(s *story) {
	a := s.does(s.ann, "reads who did what", done, http.MethodGet, s.organization+"/audit?limit=100", nil)
	s.does(s.bob, "reads it, as a member", forbidden, http.MethodGet, s.organization+"/audit", nil)
	for _, action := range []string{"organization.create", "invitation.create", "member.update", "gateway.create", "grant.put", "product.create", "client.create"} {
		require.Contains(s.t, string(a.body), `"`+action+`"`)
	}
}

func suspension(s *story) {
	admin := s.register("Pat")
	suspend := func(status int, what string) {
		s.does(admin, what, status, http.MethodPost, "/api/users/"+s.bob.id+"/operations", map[string]any{"kind": "suspend"})
	}
	suspend(forbidden, "suspends Bob, without being an admin of the platform")
	s.administer("grant", admin.id)
	defer s.administer("revoke", admin.id)
	suspend(made, "suspends Bob, as an admin")
	s.comesTo(s.bob, "asks who he is, with the session that he had", []int{unknown, forbidden}, http.MethodGet, "/api/me")
	s.does(s.ann, "is not concerned", done, http.MethodGet, "/api/me", nil)
}
