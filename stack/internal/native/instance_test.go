package native

import (
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/stack/internal/topology"
)

func instance(t *testing.T, name string) Instance {
	t.Helper()
	i, err := New(t.TempDir(), name)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(i.Dir(), 0o700))
	return i
}

func TestAnInstanceNameIsNoPath(t *testing.T) {
	for _, bad := range []string{"", "../x", "a/b", "A", "-a", "a b", "bin"} {
		_, err := New(".", bad)
		require.Error(t, err, bad)
	}
}

func TestAFolderThatNoConfigurationFileCanNameIsRefused(t *testing.T) {
	for _, bad := range []string{"/src/it's", "/src/my projects", "/src/#1", "/src/<%"} {
		_, err := New(bad, Default)
		require.ErrorContains(t, err, "move the repository", bad)
	}
}

func TestNewSecretsAreNotMadeForOldData(t *testing.T) {
	i := instance(t, "second")
	require.NoError(t, i.verifySecrets(), "a first start has neither")
	require.NoError(t, os.MkdirAll(i.PostgresData(), 0o700))
	require.ErrorContains(t, i.verifySecrets(), "is gone")
	require.NoError(t, os.WriteFile(i.SecretsFile(), []byte("{}"), 0o600))
	require.NoError(t, i.verifySecrets())
}

func TestANamedInstanceGetsPortsOfItsOwnAndKeepsThem(t *testing.T) {
	i := instance(t, "second")
	first, err := i.choosePorts("")
	require.NoError(t, err)
	require.Len(t, first, len(topology.Endpoints))
	seen := map[int]bool{}
	for name, port := range first {
		require.False(t, seen[port], name)
		seen[port] = true
	}
	again, err := i.choosePorts("")
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestAnInnerPortGivesWayAndThePublicOneDoesNot(t *testing.T) {
	i := instance(t, "second")
	ports, err := i.choosePorts("")
	require.NoError(t, err)
	occupy := func(port int) {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
	}
	occupy(ports["postgres"])
	moved, err := i.choosePorts("")
	require.NoError(t, err)
	require.NotEqual(t, ports["postgres"], moved["postgres"])
	require.Equal(t, ports["door"], moved["door"])

	occupy(ports["door"])
	_, err = i.choosePorts("")
	require.ErrorContains(t, err, "in use by another program")
}

func TestThePublicURLChoosesTheDoorsPort(t *testing.T) {
	i := instance(t, "second")
	free, err := unused(nil)
	require.NoError(t, err)
	ports, err := i.choosePorts("http://localhost:" + strconv.Itoa(free))
	require.NoError(t, err)
	require.Equal(t, free, ports["door"])
}
