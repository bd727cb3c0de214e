package envoy_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gatehouse.internal/authz/internal/engine"
	"gatehouse.internal/authz/internal/envoy"
	"gatehouse.internal/authz/internal/pipeline"
)

// check is a CheckRequest as Envoy sends it with encode_raw_headers.
func check(path string, headers ...string) *authv3.CheckRequest {
	in := &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "API.example:8080", Path: path, Scheme: "gopher", HeaderMap: &corev3.HeaderMap{}}
	headers = append(headers, ":scheme", "gopher", "x-forwarded-proto", "https", "x-request-id", "id-1")
	for i := 0; i < len(headers); i += 2 {
		in.HeaderMap.Headers = append(in.HeaderMap.Headers, &corev3.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: in}}}
}

func requireRefused(t *testing.T, in *authv3.CheckRequest, status int) {
	t.Helper()
	r, err := envoy.Parse(in)
	var denial *pipeline.Denial
	require.ErrorAs(t, err, &denial, "%v", in)
	require.Equal(t, status, denial.Status, denial.Reason)
	require.NotNil(t, r, "an answer needs the request's id and path")
}

func TestRequestIsWhatEnvoySaw(t *testing.T) {
	r, err := envoy.Parse(check("/a/b%20c/?x=/../", "x-multi", "1", "x-multi", "2", "x-raw", "\xff"))
	require.NoError(t, err)
	require.Equal(t, "id-1", r.ID)
	require.Equal(t, "https://api.example:8080/a/b%20c/", r.Target(), "the trailing slash stays; the query does not")
	require.Equal(t, "x=/../", r.Query)
	require.Equal(t, []string{"1", "2"}, r.Header.Values("X-Multi"))
	require.Equal(t, "\xff", r.Header.Get("X-Raw"))
	for name := range r.Header {
		require.False(t, strings.HasPrefix(name, ":"), name)
	}
}

func TestJoinedHeadersAreReadToo(t *testing.T) {
	in := check("/x")
	in.Attributes.Request.Http.HeaderMap = nil
	in.Attributes.Request.Http.Headers = map[string]string{"x-forwarded-proto": "http", "x-two": "1,2", ":path": "/y"}
	r, err := envoy.Parse(in)
	require.NoError(t, err)
	require.Equal(t, "http", r.Scheme)
	require.Equal(t, "1,2", r.Header.Get("X-Two"))
}

func TestPathTricksAreRefused(t *testing.T) {
	for _, path := range []string{
		"", "x", "*", "http://h/x", "?x", "//x", "/x//y", "/./x", "/x/..", "/x/../y", "/..", "/x/.", "/.",
		"/%2e%2e/x", "/%2E/x", "/x%2fy", "/x%2Fy", `/x\y`, "/x%5cy", "/x%5Cy", "/x%00", "/x%0a", "/x%7f", "/x\x00", "/x\n", "/x\x7f", "/x y\t",
		"/x y", "/x HTTP/1.1", "/x#y", "/x?y#z", "/x?y\n", "/x;y=1", "/..;/x", "/%", "/%2", "/%zz", "/x%g0",
		"/%61dmin", "/x%5a", "/x%7E", "/x%2D", "/x%5f", "/x%39", "/%c0%ae%c0%ae/x", "/%ff", "/\xff", "/é", "/%ed%a0%80",
	} {
		requireRefused(t, check(path), http.StatusBadRequest)
	}
}

func TestOrdinaryPathsPass(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "/a/": "/a/", "/a.b/...": "/a.b/...", "/%20%C3%A9": "/%20%C3%A9", "/a?b//c/../d;e%2f": "/a",
		"/%2561": "/%2561", "/%E2%82%AC%3F%25": "/%E2%82%AC%3F%25", "/a+b@c:d,e=f&g!": "/a+b@c:d,e=f&g!",
	} {
		r, err := envoy.Parse(check(path))
		require.NoError(t, err, path)
		require.Equal(t, want, r.Path)
	}
}

func TestSchemeIsEnvoysAndNeverTheClients(t *testing.T) {
	r, err := envoy.Parse(check("/x"))
	require.NoError(t, err)
	require.Equal(t, "https", r.Scheme)

	requireRefused(t, check("/x", "x-forwarded-proto", "http"), http.StatusBadRequest)
	in := check("/x")
	in.Attributes.Request.Http.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x-forwarded-proto", Value: "gopher"}}}
	requireRefused(t, in, http.StatusBadRequest)

	in.Attributes.Request.Http.HeaderMap = nil
	in.Attributes.Request.Http.Scheme = "https"
	_, err = envoy.Parse(in)
	var denial *pipeline.Denial
	require.Error(t, err)
	require.False(t, errors.As(err, &denial), "a proxy that does not set the header is an outage, not a caller's fault")
}

func TestHostCannotReachIntoThePath(t *testing.T) {
	for _, host := range []string{"", "h/api/public", "h?x", "h#x", "user@h", "h h", "h\n", "h%2f", "hé", `h\x`} {
		in := check("/x")
		in.Attributes.Request.Http.Host = host
		requireRefused(t, in, http.StatusBadRequest)
	}
	in := check("/x")
	in.Attributes.Request.Http.Host = "[::1]:8080"
	_, err := envoy.Parse(in)
	require.NoError(t, err)
}

func TestTwoCredentialsAreRefused(t *testing.T) {
	requireRefused(t, check("/x", "authorization", "Bearer a", "authorization", "Bearer b"), http.StatusUnauthorized)
	requireRefused(t, check("/x", "authorization", "Bearer a,Bearer b"), http.StatusUnauthorized)
	requireRefused(t, check("/x", "authorization", "Basic a,Bearer b"), http.StatusUnauthorized)
	_, err := envoy.Parse(check("/x", "authorization", `Digest username="a", realm="b"`))
	require.NoError(t, err)
}

func TestCheckWithoutARequestIsAnError(t *testing.T) {
	for _, in := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}}} {
		_, err := envoy.Parse(in)
		require.Error(t, err)
	}
}

func TestAllowedRequestOverwritesAndRemoves(t *testing.T) {
	out, err := envoy.Render(engine.Decision{
		Outcome: engine.Allowed,
		Set:     http.Header{"X-User-Id": {"u-1"}, "Authorization": {"Bearer t"}, "X-Raw": {"\xff"}},
		Remove:  []string{"X-Scopes"},
	})
	require.NoError(t, err)
	require.Equal(t, int32(codes.OK), out.GetStatus().GetCode())
	ok := out.GetOkResponse()
	require.Equal(t, []string{"x-scopes"}, ok.GetHeadersToRemove())
	require.Len(t, ok.GetHeaders(), 3)
	for _, option := range ok.GetHeaders() {
		require.Equal(t, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD, option.GetAppendAction())
		require.NotContains(t, option.String(), "append:", "the old field would make Envoy append")
	}
	_, err = proto.Marshal(out)
	require.NoError(t, err)
	for _, option := range ok.GetHeaders() {
		require.Empty(t, option.GetHeader().GetRawValue(), "Envoy reads value only")
		require.NotEmpty(t, option.GetHeader().GetValue())
	}
}

// An answer with status OK passes whatever else it says, so nothing but Allowed may have it.
func TestNothingButAllowedIsOK(t *testing.T) {
	for outcome := engine.Outcome(-2); outcome < 6; outcome++ {
		for _, httpStatus := range []int{0, 200, 204, 302, 400, 401, 403, 404, 429, 500, 503} {
			out, err := envoy.Render(engine.Decision{Outcome: outcome, Status: 200, Response: pipeline.Response{Status: httpStatus}})
			switch {
			case outcome == engine.Allowed:
				require.NoError(t, err)
				require.Nil(t, out.GetDeniedResponse())
			case err == nil:
				require.NotEqual(t, int32(codes.OK), out.GetStatus().GetCode())
				require.Nil(t, out.GetOkResponse())
			default:
				require.Nil(t, out)
				require.Equal(t, codes.Internal, status.Code(err), "Unavailable would be retried")
			}
		}
	}
	_, err := envoy.Render(engine.Decision{})
	require.Error(t, err, "the zero decision lets nothing pass")
}

func TestAddressAndBodyAreThoseThatEnvoySends(t *testing.T) {
	in, err := envoy.Describe([]byte(`{"method":"POST","url":"https://h/a//b?x=1","headers":{"X-Forwarded-For":"10.0.0.1"},"body":"b","remote_ip":"::ffff:192.0.2.1"}`))
	require.NoError(t, err)
	require.Equal(t, "/a//b?x=1", in.GetAttributes().GetRequest().GetHttp().GetPath(), "as it was written")
	in.Attributes.Request.Http.Path = "/a/b?x=1"
	r, err := envoy.Parse(in)
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", r.RemoteIP.String())
	require.Equal(t, "b", string(r.Body))
	require.Equal(t, "https://h/a/b?x=1", r.Address())

	in.Attributes.Request.Http.RawBody, in.Attributes.Source = []byte("raw"), nil
	r, err = envoy.Parse(in)
	require.NoError(t, err)
	require.False(t, r.RemoteIP.IsValid())
	require.Equal(t, "raw", string(r.Body))
}
