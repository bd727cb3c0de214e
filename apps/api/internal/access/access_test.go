package access

import (
	"context"
	"errors"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

func TestEveryOperationOfTheDocumentSaysWhatItDemands(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(document.Document)
	require.NoError(t, err)
	rules, err := Read(doc)
	require.NoError(t, err)
	require.NotEmpty(t, rules.Scopes())
}

func operation(access string) []byte {
	return []byte(`
openapi: 3.0.3
info: {title: t, version: "1"}
paths:
  /things/{thing}:
    post:
      operationId: x
      parameters: [{name: thing, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: d}}
` + access)
}

func TestRulesThatDemandNothingOrNonsenseStopTheStart(t *testing.T) {
	for name, c := range map[string]struct{ access, says string }{
		"none":                      {"", "no x-access"},
		"unknown key":               {"      x-access: {permit: Gateway.view, object: thing, scope: a, admin: true}", "admin"},
		"anyone with a caller":      {"      x-access: {anyone: true}", "disagree"},
		"a caller for anyone":       {"      security: []\n      x-access: {self: true}", "disagree"},
		"two ways":                  {"      x-access: {self: true, permit: Gateway.view, object: thing, scope: a}", "one of"},
		"a permit without a scope":  {"      x-access: {permit: Gateway.view, object: thing}", "scope"},
		"a scope nobody can use":    {"      x-access: {permit: Gateway.view, object: thing, scope: a, sensitive: true}", "sensitive"},
		"a permit of nobody":        {"      x-access: {permit: Gateway.fly, object: thing, scope: a}", "no permit"},
		"a namespace of nobody":     {"      x-access: {permit: Gate.view, object: thing, scope: a}", "no permit"},
		"an object of nobody":       {"      x-access: {permit: Gateway.view, object: gateway, scope: a}", "parameter"},
		"an object that is missing": {"      x-access: {permit: Gateway.view, scope: a}", "parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := openapi3.NewLoader().LoadFromData(operation(c.access))
			require.NoError(t, err)
			_, err = Read(doc)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// answers are a Checker's, by permit.
type answers struct {
	allowed map[permission.Permit]bool
	err     error
	asked   []permission.Question
}

func (a *answers) Check(_ context.Context, questions ...permission.Question) ([]bool, error) {
	a.asked = append(a.asked, questions...)
	var out []bool
	for _, question := range questions {
		out = append(out, a.allowed[question.Permit])
	}
	return out, a.err
}

var (
	person = uuid.MustParse("948581f8-0f0e-4f37-9f7a-3f1f6f1f0a01")
	object = uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	key    = uuid.MustParse("0198c0de-0000-7000-8000-000000000002")
)

func session() principal.Principal {
	return principal.Principal{Kind: principal.User, Auth: principal.Session, UserID: person, SessionID: "s"}
}

func machine(scopes ...string) principal.Principal {
	return principal.Principal{Kind: principal.Client, Auth: principal.OAuth2, ClientID: person.String(), Scopes: scopes}
}

func rule(t *testing.T, access string) Rule {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(operation("      x-access: " + access))
	require.NoError(t, err)
	rules, err := Read(doc)
	require.NoError(t, err)
	return rules["x"]
}

const edit = "{permit: Gateway.edit, object: thing, scope: gateways:write}"

func admit(t *testing.T, g *Guard, caller principal.Principal, access, id string) problem.Code {
	t.Helper()
	err := g.Admit(principal.With(t.Context(), caller), rule(t, access), func(string) string { return id })
	if err == nil {
		return ""
	}
	return problem.From(err).Code
}

func TestGuard(t *testing.T) {
	all := map[permission.Permit]bool{"edit": true, "view": true}
	onlyView := map[permission.Permit]bool{"view": true}
	for name, c := range map[string]struct {
		index, rows *answers
		caller      principal.Principal
		access      string
		want        problem.Code
	}{
		"allowed":                             {&answers{allowed: all}, nil, session(), edit, ""},
		"may see and not change":              {&answers{allowed: onlyView}, nil, session(), edit, problem.Forbidden},
		"may not even see":                    {&answers{}, nil, session(), edit, problem.NotFound},
		"may not see":                         {&answers{}, nil, session(), "{permit: Gateway.view, object: thing, scope: a}", problem.NotFound},
		"the index is down":                   {&answers{allowed: all, err: errors.New("down")}, nil, session(), edit, problem.Unavailable},
		"a scope and the permit":              {&answers{allowed: all}, nil, machine("gateways:write"), edit, ""},
		"the permit without the scope":        {&answers{allowed: all}, nil, machine("gateways:read"), edit, problem.InsufficientScope},
		"the scope without the permit":        {&answers{}, nil, machine("gateways:write"), edit, problem.NotFound},
		"a token for what is sensitive":       {&answers{allowed: all}, nil, machine("gateways:write"), "{permit: Gateway.edit, object: thing, sensitive: true}", problem.SessionRequired},
		"the rows know of a removal":          {&answers{allowed: all}, &answers{allowed: onlyView}, session(), "{permit: Gateway.edit, object: thing, scope: a, confirm: true}", problem.Forbidden},
		"the rows know of a complete removal": {&answers{allowed: all}, &answers{}, session(), "{permit: Gateway.edit, object: thing, scope: a, confirm: true}", problem.NotFound},
		"both say yes":                        {&answers{allowed: all}, &answers{allowed: all}, session(), "{permit: Gateway.edit, object: thing, scope: a, confirm: true}", ""},
		"the rows cannot be read":             {&answers{allowed: all}, &answers{allowed: all, err: errors.New("down")}, session(), "{permit: Gateway.edit, object: thing, scope: a, confirm: true}", problem.Unavailable},
		"no admin of the platform":            {&answers{}, nil, session(), "{permit: Platform.administer, scope: a}", problem.Forbidden},
		"about oneself":                       {&answers{}, nil, session(), "{self: true}", ""},
		"about oneself without the scope":     {&answers{}, nil, machine(), "{self: true, scope: a}", problem.InsufficientScope},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Guard{Index: c.index}
			if c.rows != nil {
				g.Rows = c.rows
			}
			require.Equal(t, c.want, admit(t, g, c.caller, c.access, object.String()))
		})
	}
}

func TestNobodyIsRefused(t *testing.T) {
	err := (&Guard{Index: &answers{}}).Admit(t.Context(), rule(t, edit), func(string) string { return object.String() })
	require.Equal(t, problem.Unauthenticated, problem.From(err).Code)
}

func TestSubjectsOfOneIDAreNeverTheSame(t *testing.T) {
	user, err := SubjectOf(session())
	require.NoError(t, err)
	client, err := SubjectOf(machine())
	require.NoError(t, err)
	require.Equal(t, user.ID, client.ID)
	require.NotEqual(t, user, client)

	organizations, err := SubjectOf(principal.Principal{Kind: principal.APIKey, Auth: principal.OAuth2, KeyID: key})
	require.NoError(t, err)
	require.Equal(t, permission.Subject{Namespace: permission.APIKey, ID: key.String()}, organizations)
	persons, err := SubjectOf(principal.Principal{Kind: principal.APIKey, Auth: principal.OAuth2, KeyID: key, UserID: person})
	require.NoError(t, err)
	require.Equal(t, user, persons)

	_, err = SubjectOf(principal.Principal{})
	require.Error(t, err)
}
