package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const repository = "../../../.."

// docs/attacks.md says which test stands for what. This keeps it true: each test that it names is there, each row
// names one or says why there is none, and no test of advisories_test.go is missing from it.
func TestTheTableOfAttacksIsTrue(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(repository, "docs/attacks.md"))
	require.NoError(t, err)
	source := testSources(t)
	named := map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(table)) {
		found := regexp.MustCompile("`((?:Test|Fuzz)[^`]*)`").FindAllStringSubmatch(line, -1)
		for _, match := range found {
			name, part, _ := strings.Cut(match[1], "/")
			named[name] = true
			require.Contains(t, source, "\nfunc "+name+"(", "%s is no test", match[1])
			require.Contains(t, source, `"`+part, "%s has no such part", match[1])
		}
		if cells := strings.Split(line, "|"); len(cells) == 6 && !strings.HasPrefix(cells[1], "-") && strings.TrimSpace(cells[1]) != "id" {
			rows++
			require.True(t, len(found) > 0 || strings.Contains(cells[4], "Does not concern us: "), "no test and no reason: %s", line)
		}
	}
	require.Greater(t, rows, 40)
	advisories, err := os.ReadFile("advisories_test.go")
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(advisories), -1) {
		require.True(t, named[match[1]], "%s is not in docs/attacks.md", match[1])
	}
}

// testSources are all tests of this service and of the door, as text.
func testSources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, folder := range []string{"apps/authz", "stack"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(repository, folder), func(path string, _ os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, "_test.go") {
				var text []byte
				text, err = os.ReadFile(path)
				all.WriteString("\n" + string(text))
			}
			return err
		}))
	}
	return all.String()
}
