package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestServiceKnowsWhatIsRevokedBeforeItServes(t *testing.T) {
	kratos := newUpstream(t)
	kratos.says(http.StatusOK, session, http.StatusOK)
	settings := writeConfig(t, kratos.URL, "http://127.0.0.1:1")
	settings.GRPC.Address, settings.Ops.Address = "unix://"+filepath.Join(t.TempDir(), "a.sock"), "127.0.0.1:0"
	settings.Revocation.File = filepath.Join(t.TempDir(), "revoked.json")
	require.NoError(t, os.WriteFile(settings.Revocation.File, []byte(`{"entries":[{"kind":"session","id":"s-1","expires":"9999-01-01T00:00:00Z"}]}`), 0o600))
	require.NoError(t, settings.Verify())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, settings, &lines{}) }()

	connection, err := grpc.NewClient(settings.GRPC.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	out, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), call{path: "/api/me", headers: cookie()}.request(), grpc.WaitForReady(true))
	require.NoError(t, err)
	require.EqualValues(t, http.StatusUnauthorized, out.GetDeniedResponse().GetStatus().GetCode(), "%v", out)
	stop()
	require.NoError(t, <-ended)
}

func TestLagOfTheFeedIsAMetricOnlyWithAFeed(t *testing.T) {
	m := newMetrics()
	names := func() []string {
		families, err := m.registry.Gather()
		require.NoError(t, err)
		var out []string
		for _, family := range families {
			out = append(out, family.GetName())
		}
		return out
	}
	settings := Default()
	list, parts, err := followRevocations(t.Context(), settings.Revocation, m, nil)
	require.NoError(t, err)
	require.Nil(t, list)
	require.Empty(t, parts)
	require.NotContains(t, names(), "authz_revocation_lag_seconds")

	settings.Revocation.File = filepath.Join(t.TempDir(), "revoked.json")
	require.NoError(t, os.WriteFile(settings.Revocation.File, []byte(`{"entries":[]}`), 0o600))
	list, parts, err = followRevocations(t.Context(), settings.Revocation, m, nil)
	require.NoError(t, err)
	require.False(t, list.Stale())
	require.Len(t, parts, 1)
	require.Contains(t, names(), "authz_revocation_lag_seconds")
}
