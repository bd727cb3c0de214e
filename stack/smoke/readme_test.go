//go:build smoke

package smoke

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every block that the README marks as tested runs as it stands there.
func TestTheCommandsOfTheREADMEWork(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)<!-- tested -->\n```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	expected := []string{
		`^{"email":"` + regexp.QuoteMeta(demo.email) + `".*"type":"user"}\n?$`,
		`^{"id":"` + regexp.QuoteMeta(demo.clientID) + `","scopes":\[\],"type":"client"}\n?$`,
		`code_verifier: \S+\n` + regexp.QuoteMeta(demo.publicURL) + `/oauth2/auth\?`,
	}
	require.Len(t, blocks, len(expected))
	for i, block := range blocks {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "sh", "-eu", "-c", block[1])
		c.Dir = repository
		c.Env = os.Environ()
		if _, isCompose := running.(compose); isCompose {
			c.Env = append(c.Env, "STACK=compose")
		}
		out, err := c.Output()
		require.NoError(t, err, block[1])
		require.Regexp(t, expected[i], string(out))
	}
}
