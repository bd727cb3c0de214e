package native

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadyAndFailed(t *testing.T) {
	for name, c := range map[string]struct {
		process       process
		ready, failed bool
	}{
		"a server that passes its check":     {process{Status: "Running", HasProbe: true, Running: true, Health: "Ready"}, true, false},
		"a server that does not yet":         {process{Status: "Running", HasProbe: true, Running: true, Health: "Not Ready"}, false, false},
		"a server that crashed once":         {process{Status: "Restarting", HasProbe: true, Restarts: 1}, false, false},
		"a server that keeps crashing":       {process{Status: "Restarting", HasProbe: true, Restarts: 2}, false, true},
		"a server that ended":                {process{Status: "Completed", HasProbe: true, Health: "Ready"}, false, true},
		"a one-shot at work":                 {process{Status: "Running", Running: true}, false, false},
		"a one-shot that is done":            {process{Status: "Completed"}, true, false},
		"a one-shot that failed":             {process{Status: "Completed", ExitCode: 1}, false, true},
		"one that waits for another":         {process{Status: "Pending"}, false, false},
		"one whose dependency failed":        {process{Status: "Skipped"}, false, true},
		"one whose program could not be run": {process{Status: "Error"}, false, true},
	} {
		require.Equal(t, c.ready, c.process.ready(), name)
		require.Equal(t, c.failed, c.process.failed(), name)
	}
}

func TestTheCulpritIsNotOneThatWasSkipped(t *testing.T) {
	_, found := culprit([]process{{Status: "Pending"}})
	require.False(t, found)
	one, found := culprit([]process{{Name: "api", Status: "Skipped"}, {Name: "opl-check", Status: "Completed", ExitCode: 1}, {Name: "envoy", Status: "Skipped"}})
	require.True(t, found)
	require.Equal(t, "opl-check", one.Name)
}

func TestWhatAKilledSupervisorLeftBehindIsStopped(t *testing.T) {
	s, other := newSupervisor(filepath.Join(t.TempDir(), "a.sock")), newSupervisor(filepath.Join(t.TempDir(), "b.sock"))
	orphan := func(of supervisor) *exec.Cmd {
		command := exec.CommandContext(t.Context(), "sleep", "600")
		command.Env = append(os.Environ(), of.mark())
		require.NoError(t, command.Start())
		return command
	}
	left, foreign := orphan(s), orphan(other)
	require.Equal(t, []int{left.Process.Pid}, s.marked())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.stop(ctx))
	require.Error(t, left.Wait())
	require.Equal(t, []int{foreign.Process.Pid}, other.marked())
}
