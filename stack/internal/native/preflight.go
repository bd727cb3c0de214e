package native

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// needs are the programs that a machine must have. Everything else is installed by the stack.
var needs = []struct {
	program   string
	arguments []string
	version   *regexp.Regexp
	// at least this much of major and minor version
	major, minor int
	get          string
}{
	{"go", []string{"env", "GOVERSION"}, regexp.MustCompile(`go(\d+)\.(\d+)`), 1, 26, "https://go.dev/dl/"},
	{"node", []string{"--version"}, regexp.MustCompile(`v(\d+)\.(\d+)`), 20, 0, "https://nodejs.org/ (22 LTS is a good choice)"},
	{"npm", []string{"--version"}, regexp.MustCompile(`(\d+)\.(\d+)`), 9, 0, "it comes with Node.js"},
	{"python3", []string{"-m", "pip", "--version"}, regexp.MustCompile(`pip (\d+)\.(\d+)`), 20, 0, "Python 3 with pip; on Debian and Ubuntu: apt install python3-pip"},
}

// preflight reports everything that is missing at once.
func preflight() error {
	var problems []error
	if runtime.GOOS != "linux" {
		problems = append(problems, fmt.Errorf("the native stack runs on Linux (Envoy is packaged for it), not on %s: use `docker compose up`", runtime.GOOS))
	}
	for _, need := range needs {
		out, err := exec.Command(need.program, need.arguments...).Output() //nolint:noctx,gosec // fixed programs, instant
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %s does not run. Get it: %s", need.program, strings.Join(need.arguments, " "), need.get))
			continue
		}
		match := need.version.FindStringSubmatch(string(out))
		if match == nil {
			problems = append(problems, fmt.Errorf("%s does not tell its version (%q). Get it: %s", need.program, strings.TrimSpace(string(out)), need.get))
			continue
		}
		major, _ := strconv.Atoi(match[1])
		minor, _ := strconv.Atoi(match[2])
		if major < need.major || (major == need.major && minor < need.minor) {
			problems = append(problems, fmt.Errorf("%s %d.%d is too old, %d.%d or newer is needed. Get it: %s", need.program, major, minor, need.major, need.minor, need.get))
		}
	}
	return errors.Join(problems...)
}
