//go:build integration

package suite

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/problem"
)

// Whatever is sent, by whomever: no answer is a failure of ours, every answer is one that the document promises, and every body is
// what the document says. Requests are drawn from the document, with one seed so that a change is judged and not luck;
// RAPID_CHECKS and RAPID_SEED (0: a new one each time) take more and others.
func TestEveryAnswerIsDocumentedWhateverIsSent(t *testing.T) {
	set(t, "rapid.checks", "RAPID_CHECKS", "50")
	set(t, "rapid.seed", "RAPID_SEED", "20")
	set(t, "rapid.shrinktime", "RAPID_SHRINKTIME", "10s")
	set(t, "rapid.nofailfile", "RAPID_NOFAILFILE", "true")
	p := newProperty(t)
	defer func() {
		for _, remove := range p.clients {
			remove()
		}
	}()
	operations := p.operations()
	require.Greater(t, len(operations), 40)
	for _, o := range operations {
		t.Run(o.OperationID, func(t *testing.T) {
			p.world = p.world.in(t)
			p.furnish()
			rapid.Check(t, func(rt *rapid.T) {
				p.judge(rt, o, p.request(rt, o))
			})
		})
	}
	// What is refused at once proves little: most operations must have done something.
	require.Greater(t, len(p.succeeded), len(operations)/2, "of %d operations", len(operations))
	t.Logf("%d of %d operations succeeded at least once", len(p.succeeded), len(operations))
}

// set gives a flag of rapid's a value of our own where the environment has none.
func set(t *testing.T, name, variable, value string) {
	t.Helper()
	if os.Getenv(variable) == "" {
		before := flag.Lookup(name).Value.String()
		require.NoError(t, flag.Set(name, value))
		t.Cleanup(func() { require.NoError(t, flag.Set(name, before)) })
	}
}

// property is a world with callers and things that requests can be about.
type property struct {
	root    *world // of the whole test
	world   *world // of one operation's
	doc     *openapi3.T
	scopes  []string
	admin   caller // of the platform
	callers map[string]caller
	// known are values that exist, by the name of the parameter or field that takes them.
	known map[string][]string
	// clients take those away that were made: Hydra is not this world's alone.
	clients []func()
	// succeeded are the operations that did what they were asked.
	succeeded map[string]bool
}

func newProperty(t *testing.T) *property {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document.Document)
	require.NoError(t, err)
	rules, err := access.Read(doc)
	require.NoError(t, err)
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
	t.Cleanup(func() { openapi3filter.UnregisterBodyDecoder("application/x-ndjson") })
	p := &property{root: newWorld(t), doc: doc, scopes: rules.Scopes(), succeeded: map[string]bool{}}
	p.world = p.root
	p.admin = p.world.administrator()
	return p
}

// operation is one of the document's.
type operation struct {
	*openapi3.Operation
	method, path string
	item         *openapi3.PathItem
}

func (p *property) operations() []operation {
	var out []operation
	for path, item := range p.doc.Paths.Map() {
		for method, found := range item.Operations() {
			out = append(out, operation{found, method, path, item})
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.OperationID, b.OperationID) })
	return out
}

// furnish makes what requests can be about, anew when an operation has taken it away.
func (p *property) furnish() {
	w := p.world
	if owner, found := p.callers["owner"]; found {
		alive := w.get(owner, "/api/me").status == http.StatusOK
		for _, noun := range []string{"organization", "gateway", "product"} {
			alive = alive && w.get(owner, "/api/"+noun+"s/"+p.known[noun][0]).status == http.StatusOK
		}
		if alive {
			return
		}
	}
	owner := w.person()
	organization := w.organization(owner)
	member, editor := w.member(organization, "member"), w.member(organization, "member")
	gateway := w.gateway(owner, organization)
	path := "/api/gateways/" + gateway
	w.put(owner, path+"/grants/user/"+editor.id, map[string]any{"role": "editor"}).requires(http.StatusOK)
	w.put(owner, path+"/config", configuration()).requires(http.StatusOK)
	w.put(owner, path+"/config", configuration()).requires(http.StatusOK)
	product := w.product(owner, gateway, "public")
	w.put(owner, "/api/products/"+product+"/publication", nil).requires(http.StatusOK)
	entry := w.get(owner, "/api/products/"+product).text("slug")
	key := w.post(owner, "/api/organizations/"+organization+"/api-keys", map[string]any{"name": "Key", "scopes": []string{"gateways:read"}}).requires(http.StatusCreated)
	own := w.post(owner, "/api/me/api-keys", map[string]any{"name": "Key", "scopes": []string{"gateways:read"}}).requires(http.StatusCreated)
	client := w.post(owner, "/api/organizations/"+organization+"/clients",
		map[string]any{"name": "Client", "grant_types": []string{"client_credentials"}, "scopes": []string{"gateways:read"}}).requires(http.StatusCreated)
	p.clients = append(p.clients, func() { p.root.delete(owner, "/api/organizations/"+organization+"/clients/"+client.text("id")) })
	invitation := w.post(owner, "/api/organizations/"+organization+"/invitations", map[string]any{"email": "guest@example.com", "role": "member"}).
		requires(http.StatusCreated)
	p.callers = map[string]caller{
		"owner": owner, "member": member, "editor": editor, "outsider": w.person(), "nobody": nobody, "admin": p.admin,
		"application": owner.through("an-application", p.scopes...), "machine": machine(uuid.NewString(), p.scopes...),
		"machine without scopes": machine(uuid.NewString()),
	}
	p.known = map[string][]string{
		"organization": {organization}, "gateway": {gateway}, "product": {product}, "number": {"1", "2"},
		"user": {member.id, editor.id, p.callers["outsider"].id}, "subject": {editor.id, member.id, organization}, "user_id": {member.id},
		"organization_slug": {w.get(owner, "/api/organizations/"+organization).text("slug")}, "gateway_slug": {w.get(owner, path).text("slug")},
		"product_slug": {entry}, "object": {organization, gateway, product},
		"key": {key.text("id"), own.text("id")}, "client": {client.text("id")}, "invitation": {invitation.text("id")}, "scopes": p.scopes,
		"permit": {"Organization.view", "Gateway.delete", "Product.edit", "Platform.administer"},
	}
}

// drawn is a request, written down so that it can be sent by hand.
type drawn struct {
	as      string
	method  string
	target  string
	headers [][2]string
	body    []byte
}

func (d drawn) String() string {
	return fmt.Sprintf("%s: %s %s %q\n%s", d.as, d.method, d.target, d.headers, bytes.ToValidUTF8(d.body[:min(len(d.body), 2000)], []byte("\ufffd")))
}

// mood is how well a value is meant to fit.
type mood int

const (
	fitting mood = iota
	extreme      // at the limits of what fits
	broken       // slightly not
)

var moods = rapid.SampledFrom([]mood{fitting, fitting, fitting, extreme, broken})

func (p *property) request(rt *rapid.T, o operation) drawn {
	names := make([]string, 0, len(p.callers))
	for name := range p.callers {
		names = append(names, name)
	}
	slices.Sort(names)
	// The owner most often: who is refused at once proves little.
	d := drawn{as: rapid.SampledFrom(append(names, "owner", "owner", "owner", "owner", "owner", "owner", "admin")).Draw(rt, "caller"), method: o.method}
	d.target = o.path
	query := url.Values{}
	for _, ref := range slices.Concat(o.item.Parameters, o.Parameters) {
		parameter, schema := ref.Value, ref.Value.Schema.Value
		value := func() string { return p.text(rt, parameter.Name, schema) }
		switch parameter.In {
		case openapi3.ParameterInPath:
			d.target = strings.ReplaceAll(d.target, "{"+parameter.Name+"}", url.PathEscape(value()))
		case openapi3.ParameterInQuery:
			for range rapid.SampledFrom([]int{1, 1, 0, 2}).Draw(rt, "times") {
				query.Add(parameter.Name, value())
			}
		case openapi3.ParameterInHeader:
			if rapid.Bool().Draw(rt, parameter.Name) {
				d.headers = append(d.headers, [2]string{parameter.Name, sendable(value())})
			}
		}
	}
	if rapid.IntRange(0, 9).Draw(rt, "unknown") == 0 {
		query.Add(p.anything(rt), p.anything(rt))
	}
	if len(query) > 0 {
		d.target += "?" + query.Encode()
	}
	if o.RequestBody != nil {
		d.body = p.body(rt, o.RequestBody.Value.Content.Get("application/json").Schema.Value)
		d.headers = append(d.headers, [2]string{"Content-Type", rapid.SampledFrom([]string{
			"application/json", "application/json", "application/json", "application/json", "application/json; charset=utf-8", "text/plain", "", "a/b;c",
		}).Draw(rt, "content type")})
	}
	if rapid.IntRange(0, 3).Draw(rt, "odd") == 0 {
		odd := rapid.SampledFrom([]string{
			"If-Match", "If-None-Match", "Idempotency-Key", "Consistency-Token", "Accept", "Accept-Encoding", "Content-Encoding", "Range", "X-Request-Id",
			"X-Forwarded-For", "X-Http-Method-Override", "Traceparent", "Cookie", "X-User-Id",
		}).Draw(rt, "header")
		d.headers = append(d.headers, [2]string{odd, sendable(p.anything(rt))})
	}
	return d
}

// sendable leaves out what no HTTP client sends in a header.
func sendable(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text))
}

// text is a parameter's value.
func (p *property) text(rt *rapid.T, name string, schema *openapi3.Schema) string {
	existing := p.known[name]
	switch {
	case existing != nil && rapid.IntRange(0, 9).Draw(rt, "exists") < 7:
		return rapid.SampledFrom(existing).Draw(rt, name)
	case name == "cursor" && schema.Type.Is("string"):
		return rapid.SampledFrom([]string{
			"", base64.RawURLEncoding.EncodeToString(make([]byte, 16)), cursor("user", "", ""), cursor("user", "\x00", "x"), cursor("a", "b"), cursor(),
			base64.RawURLEncoding.EncodeToString([]byte("null")), p.anything(rt),
		}).Draw(rt, "cursor")
	case name == "If-Match":
		return rapid.SampledFrom([]string{`"1"`, `"1"`, "*", `"2"`, `W/"1"`, `"999999999999999999999"`, "1", "", ","}).Draw(rt, name)
	}
	return fmt.Sprint(p.value(rt, name, schema, moods.Draw(rt, "mood"), 0))
}

func cursor(parts ...string) string {
	encoded, _ := json.Marshal(parts)
	return base64.RawURLEncoding.EncodeToString(encoded)
}

// body is a document, or what somebody took for one.
func (p *property) body(rt *rapid.T, schema *openapi3.Schema) []byte {
	value := p.value(rt, "", schema, moods.Draw(rt, "mood"), 0)
	encoded, err := json.Marshal(value)
	require.NoError(rt, err)
	switch rapid.IntRange(0, 19).Draw(rt, "spoilt") {
	case 0:
		return encoded[:len(encoded)/2]
	case 1:
		return append(encoded, encoded...)
	case 2: // the last of two values counts, or none
		return bytes.Replace(encoded, []byte("{"), []byte(`{"name":null,"name":1,"slug":"\ud800",`), 1)
	case 3:
		return append(bytes.Repeat([]byte("["), 20_000), encoded...)
	case 4:
		return bytes.ReplaceAll(encoded, []byte(`"`), []byte("\"\xff"))
	}
	return encoded
}

// anything is text that nobody expects.
func (p *property) anything(rt *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", " ", "null", "-1", "0", "true", "\x00", "a\x00b", "\u202e", "٣", "ﬁ", "İ", "\U0001f512", "..", "../..", "%2e%2e", "a/b", "'; --", "${x}", "{{.}}",
			"99999999999999999999999", "1e400", "NaN", "0x10", uuid.NewString(), strings.ToUpper(uuid.NewString()), "00000000-0000-0000-0000-000000000000",
			"{" + uuid.NewString() + "}", strings.Repeat("x", 5000), "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
			"http://127.0.0.1/", "javascript:alert(1)", "//", "http://[::1", "https://" + strings.Repeat("a", 300), "a@b", "\"a b\"@example.com",
		}),
		rapid.StringN(0, 40, 200),
	).Draw(rt, "anything")
}

// value is one for a schema; depth keeps free-form documents small.
func (p *property) value(rt *rapid.T, name string, s *openapi3.Schema, m mood, depth int) any {
	if m == broken && rapid.IntRange(0, 3).Draw(rt, "here") == 0 {
		return rapid.SampledFrom([]any{nil, true, 0, -1, 1e300, json.Number("123456789012345678901234567890"), "", []any{}, map[string]any{}, p.anything(rt)}).Draw(rt, "broken")
	}
	if existing := p.known[name]; existing != nil && rapid.IntRange(0, 3).Draw(rt, "exists") > 0 {
		return rapid.SampledFrom(existing).Draw(rt, name)
	}
	switch {
	case len(s.Enum) > 0:
		return rapid.SampledFrom(s.Enum).Draw(rt, name)
	case len(s.OneOf) > 0:
		return p.value(rt, name, rapid.SampledFrom(s.OneOf).Draw(rt, name).Value, m, depth)
	case len(s.AllOf) > 0:
		out := map[string]any{}
		for _, part := range s.AllOf {
			if object, isObject := p.value(rt, name, part.Value, m, depth).(map[string]any); isObject {
				for key, value := range object {
					out[key] = value
				}
			}
		}
		return out
	case s.Type.Is("object"):
		return p.object(rt, s, m, depth)
	case s.Type.Is("array"):
		return p.array(rt, name, s, m, depth)
	case s.Type.Is("boolean"):
		return rapid.Bool().Draw(rt, name)
	case s.Type.Is("integer"), s.Type.Is("number"):
		return p.number(rt, name, s, m)
	case s.Type.Is("string"):
		return p.string(rt, name, s, m)
	}
	return p.anything(rt)
}

func (p *property) object(rt *rapid.T, s *openapi3.Schema, m mood, depth int) map[string]any {
	out := map[string]any{}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if required := slices.Contains(s.Required, name); required && m != broken || rapid.IntRange(0, 3).Draw(rt, name) > 0 {
			out[name] = p.value(rt, name, s.Properties[name].Value, m, depth+1)
		}
	}
	if m == broken || s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has {
		for range rapid.IntRange(0, 2).Draw(rt, "more") {
			out[p.anything(rt)] = p.anything(rt)
		}
	}
	return out
}

func (p *property) array(rt *rapid.T, name string, s *openapi3.Schema, m mood, depth int) []any {
	least, most := int(s.MinItems), int(s.MinItems)+3
	if s.MaxItems != nil {
		most = int(*s.MaxItems)
		if m != extreme || depth > 2 {
			most = min(most, least+3)
		}
	}
	count := rapid.IntRange(least, max(least, most)).Draw(rt, "items")
	if m == extreme {
		count = rapid.SampledFrom([]int{least, most, most + 1}).Draw(rt, "items")
	}
	out := []any{}
	for range count {
		out = append(out, p.value(rt, name, s.Items.Value, m, depth+1))
	}
	return out
}

func (p *property) number(rt *rapid.T, name string, s *openapi3.Schema, m mood) any {
	least, most := int64(-1000), int64(1000)
	if s.Min != nil {
		least = int64(*s.Min)
		most = least + 1000
	}
	if s.Max != nil {
		most = int64(*s.Max)
	}
	if m == fitting {
		return rapid.Int64Range(least, most).Draw(rt, name)
	}
	return rapid.SampledFrom([]any{
		least, most, least - 1, most + 1, int64(1) << 31, int64(1)<<31 - 1, int64(-1) << 31, int64(1) << 53, int64(-1) << 63, json.Number("9223372036854775808"),
		json.Number("1.5"), json.Number("1e3"), json.Number("-0"),
	}).Draw(rt, name)
}

func (p *property) string(rt *rapid.T, name string, s *openapi3.Schema, m mood) string {
	if m == broken {
		return p.anything(rt)
	}
	switch s.Format {
	case "uuid":
		return rapid.SampledFrom([]string{uuid.NewString(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}).Draw(rt, name)
	case "email":
		return rapid.SampledFrom([]string{"somebody@example.com", "a@b", "ü@example.com", strings.Repeat("x", 300) + "@example.com"}).Draw(rt, name)
	case "uri":
		return rapid.SampledFrom([]string{
			"https://backend.example", "http://backend.example:8080/base", "https://backend.example/?a=b", "ftp://backend", "https://user:word@backend.example",
			"https://[::1]/", "https://backend.example/%zz", "https://\u2025/", "x",
		}).Draw(rt, name)
	case "date-time":
		return rapid.SampledFrom([]string{
			"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+01:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
			"2026-12-31T23:59:60Z", "2026-01-02t03:04:05z", "0001-01-01T00:00:00+23:59",
		}).Draw(rt, name)
	}
	least, most := int(s.MinLength), 40
	if s.MaxLength != nil {
		most = int(*s.MaxLength)
	}
	if m == extreme {
		length := rapid.SampledFrom([]int{least, most, max(0, least-1), most + 1}).Draw(rt, "length")
		return strings.Repeat(rapid.SampledFrom([]string{"a", "é", "\U0001f512"}).Draw(rt, "letter"), length)
	}
	if s.Pattern != "" {
		return rapid.StringMatching(s.Pattern).Draw(rt, name)
	}
	return rapid.StringN(least, min(most, max(least, 40)), -1).Draw(rt, name)
}

// judge sends a request and holds the answer against the document.
func (p *property) judge(rt *rapid.T, o operation, d drawn) {
	w := p.world
	out, err := http.NewRequestWithContext(w.t.Context(), d.method, w.server.URL+d.target, bytes.NewReader(d.body))
	require.NoError(rt, err, d.String())
	if as := p.callers[d.as]; as.claims != nil {
		out.Header.Set("Authorization", "Bearer "+w.door.Sign(w.t, "first", as.claims))
		out.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, header := range d.headers {
		out.Header.Add(header[0], header[1])
	}
	response, err := w.server.Client().Do(out)
	require.NoError(rt, err, d.String())
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	require.NoError(rt, err, d.String())
	if response.StatusCode < 300 {
		p.succeeded[o.OperationID] = true
	}
	said := fmt.Sprintf("%s\n%d %s", d, response.StatusCode, read[:min(len(read), 2000)])
	require.Less(rt, response.StatusCode, http.StatusInternalServerError, said)

	if response.StatusCode >= 400 {
		require.Equal(rt, "application/problem+json", response.Header.Get("Content-Type"), said)
	}
	parsed, err := url.Parse(d.target)
	require.NoError(rt, err)
	if _, same := fits(o.path, parsed.Path); !same || slices.Contains(strings.Split(parsed.Path, "/")[1:], "") {
		require.Contains(rt, []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest}, response.StatusCode, said) // another address
		return
	}
	if token := out.Header.Get("Consistency-Token"); token != "" && response.StatusCode == http.StatusBadRequest {
		return // any operation takes the header
	}
	status := response.StatusCode
	if status == http.StatusAccepted && response.Header.Get("Consistency-Token") != "" {
		status = success(o) // what it would be if the index showed it
	}
	require.NoError(rt, p.validate(w.t.Context(), o, out, status, response.Header, read), said)
}

// success is the status that an operation promises for what was done.
func success(o operation) int {
	for _, status := range []int{http.StatusOK, http.StatusCreated, http.StatusNoContent} {
		if o.Responses.Status(status) != nil {
			return status
		}
	}
	return 0
}

func (p *property) validate(ctx context.Context, o operation, r *http.Request, status int, header http.Header, body []byte) error {
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Options: options,
			Route: &routers.Route{Spec: p.doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		},
		Status: status, Header: header, Options: options,
	}
	return openapi3filter.ValidateResponse(ctx, input.SetBodyBytes(body))
}

// What the property has found, said plainly.

func TestTextThatPostgresCannotHoldIsRefused(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	w.post(person, "/api/organizations", map[string]any{"name": "a\x00b", "slug": slug()}).refused(problem.InvalidRequest)
	w.get(nobody, "/api/public/directory?q=%00").refused(problem.InvalidRequest)
}

func TestAnIdempotencyKeyWhereNoneIsTakenMeansNothing(t *testing.T) {
	w := newWorld(t)
	person := w.person()
	path := "/api/organizations/" + w.organization(person)
	w.do(person, request{method: http.MethodPatch, path: path, body: map[string]any{"name": "Renamed"}, header: map[string]string{"Idempotency-Key": "k"}}).
		requires(http.StatusOK)
}

func TestABodyIsOneDocument(t *testing.T) {
	w := newWorld(t)
	w.post(w.person(), "/api/organizations", []byte(`{"name":"Acme","slug":"`+slug()+`"}{"name":"Other","slug":"other"}`)).refused(problem.InvalidRequest)
}
