package upstream_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/upstream"
)

func TestOnlyEndToEndHeadersAreForwarded(t *testing.T) {
	sent := http.Header{
		"X-A": {"1", "2"}, "Cookie": {"a=b"}, "Authorization": {"Bearer t"}, "X-Bad": {"a\nb"},
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Transfer-Encoding": {"chunked"}, "Content-Length": {"7"}, "Accept-Encoding": {"gzip"},
	}
	require.Equal(t, http.Header{"X-A": {"1", "2"}, "Cookie": {"a=b"}, "Authorization": {"Bearer t"}}, upstream.Forwardable(sent))
	require.Contains(t, sent, "Connection", "the request itself stays as it was")
}

func TestForgedIdentityIsNotForwarded(t *testing.T) {
	sent := http.Header{"X-User-Id": {"root"}, "X_user_id": {"root"}, "X.user.id": {"root"}, "Authorization": {"Bearer t"}, "X-Other": {"1"}}
	require.Equal(t, http.Header{"Authorization": {"Bearer t"}, "X-Other": {"1"}}, upstream.WithoutIdentity(sent, []string{"Authorization", "X-User-Id"}))
	require.Len(t, sent, 5, "the request itself stays as it was")
}
