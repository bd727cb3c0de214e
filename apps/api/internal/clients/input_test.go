package clients

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/problem"
)

const own = "https://gatehouse.example/api"

func wanted(t *testing.T, change func(*openapi.ClientInput)) (Properties, error) {
	t.Helper()
	input := openapi.ClientInput{
		Name: "App", GrantTypes: []openapi.ClientGrantType{openapi.GrantAuthorizationCode, openapi.GrantClientCredentials, openapi.GrantRefreshToken},
		RedirectUris: &[]string{"https://app.example/callback"}, Scopes: []string{"openid", "gateways:read"},
	}
	change(&input)
	return (&Operations{Scopes: []string{"gateways:read"}, Audience: own}).wanted(input)
}

func TestAClientIsAlwaysForThisAPI(t *testing.T) {
	p, err := wanted(t, func(c *openapi.ClientInput) { c.Audience = &[]string{"https://other.example/v1", own} })
	require.NoError(t, err)
	require.Equal(t, Properties{
		Name: "App", GrantTypes: []string{"authorization_code", "client_credentials", "refresh_token"},
		RedirectURIs: []string{"https://app.example/callback"}, Scopes: []string{"openid", "gateways:read"},
		Audience: []string{own, "https://other.example/v1"},
	}, p)
}

func TestPeopleAreSentBackToOneKnownPlaceOnly(t *testing.T) {
	redirect := func(uri string) error {
		_, err := wanted(t, func(c *openapi.ClientInput) { c.RedirectUris = &[]string{uri} })
		return err
	}
	for _, good := range []string{
		"https://app.example/callback", "https://app.example:8443/a?b=c", "http://127.0.0.1:9899/callback", "http://[::1]/", "http://localhost:3000/x",
	} {
		require.NoError(t, redirect(good), good)
	}
	for _, bad := range []string{
		"", "/callback", "http://app.example/callback", "http://127.0.0.1.app.example/", "http://localhost.app.example/", "http://0.0.0.0/",
		"https://app.example/#", "https://app.example/#x", "https://user@app.example/", "https://*.app.example/", "https://app.example/*",
		"https:///callback", "https:app.example", "https://", "myapp://callback", "javascript:alert(1)", "data:text/html,x",
		`https://app.example\@evil.example/`, "https://app.example/ x", "https://app.example/\n", "https://äpp.example/", "http://%6cocalhost@evil.example",
	} {
		err := redirect(bad)
		require.Error(t, err, bad)
		require.Equal(t, problem.Unprocessable, problem.From(err).Code, bad)
	}
}

func TestWhatAClientCouldNotUseIsRefused(t *testing.T) {
	machine := []openapi.ClientGrantType{openapi.GrantClientCredentials}
	for name, c := range map[string]struct {
		field  string
		change func(*openapi.ClientInput)
	}{
		"an unknown scope":            {"scopes", func(c *openapi.ClientInput) { c.Scopes = []string{"gateways:*"} }},
		"a person's scope for itself": {"scopes", func(c *openapi.ClientInput) { c.GrantTypes, c.RedirectUris = machine, nil }},
		"a redirect for itself":       {"redirect_uris", func(c *openapi.ClientInput) { c.GrantTypes, c.Scopes = machine, nil }},
		"no redirect for people":      {"redirect_uris", func(c *openapi.ClientInput) { c.RedirectUris = nil }},
		"a refresh without a code": {"grant_types", func(c *openapi.ClientInput) {
			c.GrantTypes, c.RedirectUris, c.Scopes = []openapi.ClientGrantType{openapi.GrantClientCredentials, openapi.GrantRefreshToken}, nil, nil
		}},
		"an audience without TLS":     {"audience", func(c *openapi.ClientInput) { c.Audience = &[]string{"http://other.example"} }},
		"an audience that is no URL":  {"audience", func(c *openapi.ClientInput) { c.Audience = &[]string{"gatehouse-api"} }},
		"an audience with a fragment": {"audience", func(c *openapi.ClientInput) { c.Audience = &[]string{"https://other.example/#x"} }},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wanted(t, c.change)
			p := problem.From(err)
			require.Equal(t, problem.Unprocessable, p.Code)
			require.Len(t, p.Fields, 1)
			require.Equal(t, c.field, p.Fields[0].Name)
		})
	}
}
