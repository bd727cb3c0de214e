// Package demo makes the demo person and the demo client of a development stack. Neither exists outside
// development: a public origin with https gets none.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	ory "github.com/ory/client-go"
)

// Demo is what a newcomer needs to try the three main jobs.
type Demo struct {
	PublicURL    string `json:"public_url"`
	Email        string `json:"email"`
	Password     string `json:"password"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// RedirectURI is the demo client's. Nothing listens there: whoever tries the authorization code reads it
// from the address bar.
const RedirectURI = "http://127.0.0.1:9899/callback"

// Servers are the base URLs that seeding needs.
type Servers struct {
	KratosAdmin, HydraAdmin, HydraPublic string
	// PublicURL of the stack; the audience of access tokens derives from it.
	PublicURL string
}

// Read returns what Ensure kept in file.
func Read(file string) (Demo, error) {
	var d Demo
	text, err := os.ReadFile(file)
	if err != nil {
		return d, err
	}
	if json.Unmarshal(text, &d) != nil {
		return d, fmt.Errorf("%s is not what was written here", file)
	}
	return d, nil
}

// Ensure makes the person and the client unless they exist, and keeps their credentials in file. A stack whose
// public origin has become https loses those that it had.
func Ensure(ctx context.Context, servers Servers, file string) error {
	kratos, hydra := client(servers.KratosAdmin), client(servers.HydraAdmin)
	d, err := Read(file)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if !missing && d.PublicURL != servers.PublicURL { // a client's audience names the public origin
		if err := removeClient(ctx, hydra, d); err != nil {
			return fmt.Errorf("demo client: %w", err)
		}
		d.ClientID = ""
	}
	if strings.HasPrefix(servers.PublicURL, "https://") {
		if missing {
			return nil
		}
		if err := removePerson(ctx, kratos, d); err != nil {
			return fmt.Errorf("demo person: %w", err)
		}
		return os.Remove(file)
	}
	if missing {
		d = Demo{Email: "demo@gatehouse.example", Password: "demo-" + rand.Text()}
	}
	d.PublicURL = servers.PublicURL
	// Before the person is made: nobody could log in with a password that was lost on the way.
	if err := write(file, d); err != nil {
		return err
	}
	if err := ensurePerson(ctx, kratos, &d); err != nil {
		return fmt.Errorf("demo person: %w", err)
	}
	if err := ensureClient(ctx, hydra, servers, &d); err != nil {
		return fmt.Errorf("demo client: %w", err)
	}
	if err := write(file, d); err != nil {
		return err
	}
	return warm(ctx, servers.HydraPublic)
}

func write(file string, d Demo) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

var patient = &http.Client{Timeout: 15 * time.Second}

func client(base string) *ory.APIClient {
	configuration := ory.NewConfiguration()
	configuration.Servers = ory.ServerConfigurations{{URL: base}}
	configuration.HTTPClient = patient
	return ory.NewAPIClient(configuration)
}

func ensurePerson(ctx context.Context, kratos *ory.APIClient, d *Demo) error {
	found, response, err := kratos.IdentityAPI.ListIdentities(ctx).CredentialsIdentifier(d.Email).Execute()
	if err := failure(response, err); err != nil {
		return err
	}
	if len(found) > 0 {
		return nil
	}
	verified := ory.NewVerifiableIdentityAddress("completed", d.Email, true, "email")
	body := ory.NewCreateIdentityBody("person", map[string]any{"email": d.Email, "name": "Demo Person"})
	body.SetVerifiableAddresses([]ory.VerifiableIdentityAddress{*verified})
	body.SetCredentials(ory.IdentityWithCredentials{Password: &ory.IdentityWithCredentialsPassword{
		Config: &ory.IdentityWithCredentialsPasswordConfig{Password: &d.Password},
	}})
	_, response, err = kratos.IdentityAPI.CreateIdentity(ctx).CreateIdentityBody(*body).Execute()
	return failure(response, err)
}

func removePerson(ctx context.Context, kratos *ory.APIClient, d Demo) error {
	found, response, err := kratos.IdentityAPI.ListIdentities(ctx).CredentialsIdentifier(d.Email).Execute()
	if err := failure(response, err); err != nil {
		return err
	}
	for _, one := range found {
		response, err := kratos.IdentityAPI.DeleteIdentity(ctx, one.Id).Execute()
		if err := failure(response, err); err != nil {
			return err
		}
	}
	return nil
}

func removeClient(ctx context.Context, hydra *ory.APIClient, d Demo) error {
	if d.ClientID == "" {
		return nil
	}
	response, err := hydra.OAuth2API.DeleteOAuth2Client(ctx, d.ClientID).Execute()
	if response != nil && response.StatusCode == http.StatusNotFound {
		err = nil
	}
	return failure(response, err)
}

func ensureClient(ctx context.Context, hydra *ory.APIClient, servers Servers, d *Demo) error {
	if d.ClientID != "" {
		_, response, err := hydra.OAuth2API.GetOAuth2Client(ctx, d.ClientID).Execute()
		if response == nil || response.StatusCode != http.StatusNotFound {
			return failure(response, err)
		}
	}
	// The id is Hydra's to choose: one that a caller picks could be a person's.
	body := ory.NewOAuth2Client()
	body.SetClientName("Demo client")
	body.SetGrantTypes([]string{"client_credentials", "authorization_code", "refresh_token"})
	body.SetResponseTypes([]string{"code"})
	body.SetRedirectUris([]string{RedirectURI})
	body.SetScope("openid offline_access email profile demo")
	body.SetAudience([]string{servers.PublicURL + "/api"})
	body.SetTokenEndpointAuthMethod("client_secret_basic")
	created, response, err := hydra.OAuth2API.CreateOAuth2Client(ctx).OAuth2Client(*body).Execute()
	if err := failure(response, err); err != nil {
		return err
	}
	d.ClientID, d.ClientSecret = created.GetClientId(), created.GetClientSecret()
	return nil
}

// warm makes Hydra generate its signing keys: the first request for them takes two seconds, and should not be
// a person's.
func warm(ctx context.Context, hydraPublic string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, hydraPublic+"/.well-known/jwks.json", nil)
	if err != nil {
		return err
	}
	response, err := patient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("hydra cannot show its signing keys (%s); were its secrets lost?", response.Status)
	}
	return nil
}

func failure(response *http.Response, err error) error {
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	var api *ory.GenericOpenAPIError
	if errors.As(err, &api) {
		return fmt.Errorf("%w: %s", err, api.Body())
	}
	return err
}
