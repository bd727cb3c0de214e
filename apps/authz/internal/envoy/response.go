package envoy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gatehouse.internal/authz/internal/engine"
)

// Write renders a decision and encodes it: the same decision made again is written once.
func Write(d engine.Decision) (*Answer, error) {
	write := func() ([]byte, error) {
		out, err := Render(d)
		if err != nil {
			return nil, err
		}
		return proto.Marshal(out)
	}
	var wire []byte
	var err error
	if d.Rendering == nil {
		wire, err = write()
	} else {
		wire, err = d.Rendering.Once(write)
	}
	if err != nil {
		return nil, err
	}
	return &Answer{wire}, nil
}

// Render writes a decision as Envoy reads it: status OK means pass whatever else the answer holds,
// so OK is written in one place, for Allowed only. A failure is a gRPC error: Envoy counts it as one
// and answers its status_on_error. It is Internal and not Unavailable, which Envoy would retry.
func Render(d engine.Decision) (*authv3.CheckResponse, error) {
	switch d.Outcome {
	case engine.Allowed:
		return &authv3.CheckResponse{
			Status: &rpc.Status{Code: int32(codes.OK)},
			HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
				Headers:         options(d.Set),
				HeadersToRemove: lower(d.Remove),
			}},
		}, nil
	case engine.Denied:
		return denied(d), nil
	default:
		return nil, status.Error(codes.Internal, "the request could not be decided about")
	}
}

func denied(d engine.Decision) *authv3.CheckResponse {
	code := codes.PermissionDenied
	if d.Response.Status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	return &authv3.CheckResponse{
		Status: &rpc.Status{Code: int32(code)}, // #nosec G115 -- two small constants
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(d.Response.Status)}, // #nosec G115 -- an HTTP status
			Headers: options(d.Response.Header),
			Body:    d.Response.Body,
		}},
	}
}

// options always says OVERWRITE_IF_EXISTS_OR_ADD. The default is APPEND, which Envoy 1.37.0 obeys:
// the backend would get the client's value beside ours.
func options(header http.Header) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			out = append(out, &corev3.HeaderValueOption{
				Header: &corev3.HeaderValue{
					Key: strings.ToLower(name),
					// Protobuf strings must be UTF-8, and Envoy 1.40 does not read raw_value here: it sets "".
					Value: strings.ToValidUTF8(value, "\uFFFD"),
				},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			})
		}
	}
	return out
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}
