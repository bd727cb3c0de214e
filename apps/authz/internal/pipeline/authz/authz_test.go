package authz_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
	"gatehouse.internal/authz/internal/pipeline/authz"
)

func TestAllowAllowsAndDenyDenies(t *testing.T) {
	allow, err := authz.New("allow", nil)
	require.NoError(t, err)
	require.NoError(t, allow.Authorize(t.Context(), &pipeline.Request{}, &pipeline.Session{}))

	deny, err := authz.New("deny", nil)
	require.NoError(t, err)
	var denial *pipeline.Denial
	require.ErrorAs(t, deny.Authorize(t.Context(), &pipeline.Request{}, &pipeline.Session{}), &denial)
	require.Equal(t, http.StatusForbidden, denial.Status)
}

func TestOtherAuthorizersAreRefused(t *testing.T) {
	for _, name := range []string{"", "remote", "remote_json", "keto_engine_acp_ory"} {
		_, err := authz.New(name, nil)
		require.Error(t, err, name)
	}
}
