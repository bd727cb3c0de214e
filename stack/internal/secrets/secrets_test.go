package secrets_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/stack/internal/secrets"
)

func TestSecretsAreKeptOverRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "secrets.json")
	first, err := secrets.Ensure(file)
	require.NoError(t, err)
	second, err := secrets.Ensure(file)
	require.NoError(t, err)
	require.Equal(t, first, second)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Len(t, first["kratos-cipher"], 32, "Kratos takes exactly 32 characters")
}

func TestTwoStacksShareNoSecret(t *testing.T) {
	one, err := secrets.Ensure(filepath.Join(t.TempDir(), "s.json"))
	require.NoError(t, err)
	other, err := secrets.Ensure(filepath.Join(t.TempDir(), "s.json"))
	require.NoError(t, err)
	for name := range one {
		require.NotEqual(t, one[name], other[name], name)
	}
}

func TestABrokenFileIsNotReplacedAndNotShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"hydra-system": "do-not-show`), 0o600))
	_, err := secrets.Ensure(file)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "do-not-show")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "do-not-show")
}
