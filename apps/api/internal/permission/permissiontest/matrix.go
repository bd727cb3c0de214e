// Package permissiontest reads the matrix of who may do what (testdata/matrix.yaml), for every suite that holds an
// implementation against it.
package permissiontest

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse.internal/api/internal/permission"
)

// Matrix is the file.
type Matrix struct {
	Rows  Rows   `yaml:"rows"`
	Cases []Case `yaml:"cases"`
}

// Rows is who is what, by name.
type Rows struct {
	PlatformAdmins []string `yaml:"platform_admins"`
	// Organizations are roles by person, by organization.
	Organizations map[string]map[string]permission.Role `yaml:"organizations"`
	Gateways      map[string]struct {
		Organization string `yaml:"organization"`
		// Grants are roles by <kind>:<name>.
		Grants map[string]permission.Role `yaml:"grants"`
	} `yaml:"gateways"`
	Products map[string]struct {
		Gateway    string                `yaml:"gateway"`
		Visibility permission.Visibility `yaml:"visibility"`
	} `yaml:"products"`
}

// Case is what somebody may do with one object.
type Case struct {
	// Who is <kind>:<name>, as in grants.
	Who string `yaml:"who"`
	// On is <namespace>:<name>; Platform has no name.
	On string `yaml:"on"`
	// Holds are all permits that are held. Of the namespace's others none is.
	Holds []permission.Permit `yaml:"holds"`
	Why   string              `yaml:"why"`
}

func (c Case) String() string { return c.Who + " on " + c.On + ": " + c.Why }

// Subject takes Who apart.
func (c Case) Subject() (namespace permission.Namespace, name string) {
	kind, name, _ := strings.Cut(c.Who, ":")
	return map[string]permission.Namespace{
		permission.KindUser: permission.User, permission.KindClient: permission.Client, permission.KindAPIKey: permission.APIKey,
	}[kind], name
}

// Object takes On apart.
func (c Case) Object() (namespace permission.Namespace, name string) {
	text, name, _ := strings.Cut(c.On, ":")
	return permission.Namespace(text), name
}

// Load reads the matrix.
func Load(t *testing.T) Matrix {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "testdata", "matrix.yaml"))
	require.NoError(t, err)
	var out Matrix
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&out))
	require.NotEmpty(t, out.Cases)
	return out
}
