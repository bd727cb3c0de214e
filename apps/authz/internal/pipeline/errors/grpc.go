package errors

import (
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"gatehouse.internal/authz/internal/pipeline"
)

func isGRPC(r *pipeline.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc")
}

// grpcStatus answers a gRPC client, which reads grpc-status and cannot read a JSON body. The HTTP
// status stays that of the denial; Envoy answers real gRPC requests with 200 and keeps grpc-status.
func grpcStatus(d *pipeline.Denial) pipeline.Response {
	code := codes.Internal
	switch d.Status {
	case http.StatusBadRequest:
		code = codes.InvalidArgument
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusForbidden:
		code = codes.PermissionDenied
	case http.StatusNotFound:
		code = codes.Unimplemented
	case http.StatusTooManyRequests:
		code = codes.ResourceExhausted
	}
	return pipeline.Response{
		Status: d.Status,
		Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Grpc-Status":  {strconv.Itoa(int(code))},
			"Grpc-Message": {strings.ReplaceAll(d.Detail, "%", "%25")}, // the field is percent-encoded
		},
	}
}
