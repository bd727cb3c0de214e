package mutate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/keys"
	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/mutate"
)

var now = time.Unix(1_800_000_000, 0)

func newSigner(t testing.TB) *keys.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private, KeyID: "ours", Algorithm: "ES256", Use: "sig"}}}
	data, err := json.Marshal(set)
	require.NoError(t, err)
	signer, err := keys.NewSigner(data)
	require.NoError(t, err)
	return signer
}

func deps(signer *keys.Signer) mutate.Deps {
	return mutate.Deps{
		Signer: func(location string) (*keys.Signer, error) {
			if location != "file:///keys.json" {
				return nil, errors.New("no such file")
			}
			return signer, nil
		},
		Now:  func() time.Time { return now },
		Warn: func(string, ...any) {},
	}
}

func session(extra map[string]any) *pipeline.Session {
	s := pipeline.NewSession(&pipeline.Request{Method: "GET", Header: http.Header{"X-User-Id": {"forged"}}}, nil)
	s.Subject, s.Extra = "u-1", extra
	return s
}

func mutated(t *testing.T, m mutate.Mutator, s *pipeline.Session) error {
	t.Helper()
	return m.Mutate(t.Context(), &pipeline.Request{Header: s.MatchContext.Header}, s)
}

func TestNoopEmitsNothingOfTheRequest(t *testing.T) {
	m, err := mutate.New("noop", nil, mutate.Deps{})
	require.NoError(t, err)
	s := session(nil)
	require.NoError(t, mutated(t, m, s))
	require.Empty(t, s.Header)
}

func header(t *testing.T, headers map[string]any) mutate.Mutator {
	t.Helper()
	m, err := mutate.New("header", map[string]any{"headers": headers}, mutate.Deps{})
	require.NoError(t, err)
	return m
}

func TestHeadersAreRendered(t *testing.T) {
	m := header(t, map[string]any{"X-User-Id": "{{ print .Subject }}", "x-org": "{{ print .Extra.org }}", "X-Empty": ""})
	s := session(map[string]any{"org": "o-1"})
	require.NoError(t, mutated(t, m, s))
	require.Equal(t, http.Header{"X-User-Id": {"u-1"}, "X-Org": {"o-1"}, "X-Empty": {""}}, s.Header)
}

func TestHeadersAreNamedWhetherOrNotTheMutatorIsValid(t *testing.T) {
	broken := map[string]any{"headers": map[string]any{"X-Tenant": "{{", "x-org": 1}, "unknown": true}
	require.ElementsMatch(t, []string{"X-Tenant", "x-org"}, mutate.Headers("header", broken))
	require.Equal(t, []string{"Authorization"}, mutate.Headers("id_token", nil))
	require.Empty(t, mutate.Headers("header", nil))
	require.Empty(t, mutate.Headers("noop", nil))
}

func TestLineFeedInAValueBeginsNoNewHeader(t *testing.T) {
	s := session(map[string]any{"name": "ann\r\nX-User-Id: root"})
	require.NoError(t, mutated(t, header(t, map[string]any{"X-Name": "{{ .Extra.name }}"}), s))
	require.Equal(t, "ann  X-User-Id: root", s.Header.Get("X-Name"))

	var denial *pipeline.Denial
	require.ErrorAs(t, mutated(t, header(t, map[string]any{"X-Name": "a\x00b"}), session(nil)), &denial)
	require.Equal(t, http.StatusInternalServerError, denial.Status)
}

func TestUnrenderableHeaderIsARuleError(t *testing.T) {
	var denial *pipeline.Denial
	require.ErrorAs(t, mutated(t, header(t, map[string]any{"X-Email": "{{ .Extra.identity.traits.email }}"}), session(nil)), &denial)
	require.Equal(t, pipeline.CodeRuleError, denial.Code)
}

func TestBrokenMutatorConfigurationIsRefused(t *testing.T) {
	d := deps(newSigner(t))
	good := map[string]any{"issuer_url": "https://i", "jwks_url": "file:///keys.json"}
	with := func(key string, value any) map[string]any {
		out := map[string]any{key: value}
		for k, v := range good {
			if _, set := out[k]; !set {
				out[k] = v
			}
		}
		return out
	}
	_, err := mutate.New("id_token", good, d)
	require.NoError(t, err)
	for _, config := range []map[string]any{
		nil, with("issuer_url", ""), with("jwks_url", "https://keys"), with("ttl", "soon"), with("ttl", "0s"), with("claims", "{{"), with("clams", "{}"),
	} {
		_, err := mutate.New("id_token", config, d)
		require.Error(t, err, config)
	}
	for _, config := range []map[string]any{
		nil, {"headers": map[string]any{"X": "{{"}}, {"headers": map[string]any{"bad name": ""}}, {"headers": map[string]any{"X": 1}}, {"hdrs": map[string]any{}},
	} {
		_, err := mutate.New("header", config, d)
		require.Error(t, err, config)
	}
	_, err = mutate.New("hydrator", nil, d)
	require.Error(t, err)
}

const claimsTemplate = `{"aud":["gatehouse-api"],"type":"{{ if .Extra.identity }}user{{ else if eq .Subject (print .Extra.client_id) }}client{{ else }}user{{ end }}","name":"{{ print .Extra.name }}","sub":"forged","exp":1}`

func idToken(t testing.TB, signer *keys.Signer, claims string) mutate.Mutator {
	t.Helper()
	m, err := mutate.New("id_token", map[string]any{
		"issuer_url": "https://public/.well-known/gatehouse", "jwks_url": "file:///keys.json", "ttl": "60s", "claims": claims,
	}, deps(signer))
	require.NoError(t, err)
	return m
}

func minted(t *testing.T, signer *keys.Signer, s *pipeline.Session) jwt.MapClaims {
	t.Helper()
	token, found := strings.CutPrefix(s.Header.Get("Authorization"), "Bearer ")
	require.True(t, found)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return signer.Public()[0].Key, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithTimeFunc(func() time.Time { return now }))
	require.NoError(t, err)
	return claims
}

func TestIdentityTokenSaysWhoIsCalling(t *testing.T) {
	signer := newSigner(t)
	m := idToken(t, signer, claimsTemplate)
	for want, extra := range map[string]map[string]any{
		"user": {"client_id": "c-1"}, "client": {"client_id": "u-1"},
	} {
		s := session(extra)
		require.NoError(t, mutated(t, m, s))
		claims := minted(t, signer, s)
		require.Equal(t, want, claims["type"])
		require.Equal(t, []any{"gatehouse-api"}, claims["aud"])
		require.Equal(t, "u-1", claims["sub"], "the template cannot choose the subject")
		require.Equal(t, "https://public/.well-known/gatehouse", claims["iss"])
		require.EqualValues(t, now.Unix()+60, claims["exp"])
		require.EqualValues(t, now.Unix(), claims["iat"])
		require.EqualValues(t, now.Unix(), claims["nbf"])
		_, err := uuid.Parse(claims["jti"].(string))
		require.NoError(t, err)
	}
}

func TestIdentityTokenNeedsNoTemplateButOneIsAdvised(t *testing.T) {
	signer := newSigner(t)
	var warnings []string
	d := deps(signer)
	d.Warn = func(format string, _ ...any) { warnings = append(warnings, format) }
	_, err := mutate.New("id_token", map[string]any{"issuer_url": "https://i", "jwks_url": "file:///keys.json"}, d)
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "aud")

	s := session(nil)
	require.NoError(t, mutated(t, idToken(t, signer, ""), s))
	require.NotContains(t, minted(t, signer, s), "aud")
}

func TestNameCannotWriteClaims(t *testing.T) {
	m := idToken(t, newSigner(t), claimsTemplate)
	for _, name := range []string{`x","type":"client`, `x"`, `x"}{"a":"b`, `x","sub":"root`} {
		s := session(map[string]any{"name": name})
		var denial *pipeline.Denial
		require.ErrorAs(t, mutated(t, m, s), &denial, name)
		require.Equal(t, pipeline.CodeRuleError, denial.Code)
		require.Empty(t, s.Header)
	}
}

func TestClaimThatDiffersInCaseIsTheSameClaim(t *testing.T) {
	m := idToken(t, newSigner(t), claimsTemplate)
	require.Error(t, mutated(t, m, session(map[string]any{"name": `x","Type":"client`})), "Go and others read JSON keys in any case")
}

func TestValueBetweenQuotesIsWarnedOf(t *testing.T) {
	for text, want := range map[string]int{
		`{"name":"{{ print .Extra.name }}"}`:                            1,
		`{"name":"{{- .Extra.name -}}","b":"x-{{ .Subject }}-y"}`:       2,
		`{"name":{{ .Extra.name | toJson }}}`:                           0,
		`{"type":"{{ if .Extra.a }}user{{ else }}client{{ end }}"}`:     0,
		`{{ $n := print .Extra.name }}{"a":"\"","n":{{ $n | toJson }}}`: 0,
		`{"a":"{{/* nothing */}}","v":{{ $v := true }}{{ $v }}}`:        0,
		`{"a":"{{ if .Extra.a }}{{ .Extra.a }}{{ end }}","b":{{ .X }}}`: 1,
	} {
		var warnings []string
		d := deps(newSigner(t))
		d.Warn = func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
		_, err := mutate.New("id_token", map[string]any{"issuer_url": "https://i", "jwks_url": "file:///keys.json", "claims": text + `{{/* "aud" */}}`}, d)
		require.NoError(t, err, text)
		require.Len(t, warnings, want, text)
	}
}

func TestClaimsThatAreNoObjectAreARuleError(t *testing.T) {
	for _, text := range []string{"[]", "null", "{", `{"a":}`, `{"a":1} x`, "no", `{"a":1,"a":2}`, `{1:2}`} {
		var denial *pipeline.Denial
		require.ErrorAs(t, mutated(t, idToken(t, newSigner(t), text), session(nil)), &denial, text)
	}
}
