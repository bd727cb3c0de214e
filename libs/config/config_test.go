package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/libs/config"
)

type settings struct {
	Name     string `mapstructure:"name"`
	Database struct {
		URL     config.Secret `mapstructure:"url"`
		Timeout time.Duration `mapstructure:"timeout"`
	} `mapstructure:"database"`
}

func (s settings) Verify() error {
	if s.Name == "" {
		return errors.New("name: missing")
	}
	return nil
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestEnvironmentWinsOverFileAndFileOverDefaults(t *testing.T) {
	t.Setenv("GH_DATABASE_URL", "postgres://from-env")
	defaults := settings{Name: "default"}
	defaults.Database.Timeout = time.Second

	got, err := config.Load(file(t, "name: file\ndatabase: {url: postgres://from-file}\n"), "GH", defaults)

	require.NoError(t, err)
	require.Equal(t, "file", got.Name)
	require.Equal(t, "postgres://from-env", got.Database.URL.Reveal())
	require.Equal(t, time.Second, got.Database.Timeout)
}

func TestUnknownKeyIsRefused(t *testing.T) {
	_, err := config.Load(file(t, "name: a\nnmae: b\n"), "GH", settings{})
	require.ErrorContains(t, err, "nmae")
}

func TestUnknownVariableIsRefused(t *testing.T) {
	t.Setenv("GH_DATABSE_URL", "hidden-value")
	_, err := config.Load(file(t, "name: a\n"), "GH", settings{})
	require.ErrorContains(t, err, "GH_DATABSE_URL")
	require.NotContains(t, err.Error(), "hidden-value")
}

func TestVerifyRuns(t *testing.T) {
	_, err := config.Load(file(t, "database: {timeout: 3s}\n"), "GH", settings{})
	require.ErrorContains(t, err, "name: missing")
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := struct{ S config.Secret }{"hunter2"}
	encoded, err := json.Marshal(s)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), s.S.String(), string(encoded)} {
		require.NotContains(t, text, "hunter2")
	}
}

func TestAValueOfTheWrongKindIsNotShown(t *testing.T) {
	for _, text := range []string{"database: {url: [hunter2]}", "database: {url: {a: hunter2}}", "database: hunter2", "database: {timeout: hunter2}", "hunter2", "database: {url: hunter2: x"} {
		_, err := config.Load(file(t, text), "GH", settings{Name: "a"})
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
