//go:build bench

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spread is the median with the least and the most.
func spread(values []float64, format string) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+" to "+format+")", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}

func machine() string {
	model := "an unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); found != nil {
			model = string(found[1])
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func load() string {
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(average), " ")
	return first
}

// The results stand between these lines of the document.
const (
	opening = "<!-- bench-api begins -->\n"
	closing = "<!-- bench-api ends -->"
)

func write(file, text string) error {
	old, err := os.ReadFile(file) // #nosec G304 -- named by whoever measures
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(old, []byte(opening))
	_, after, closed := bytes.Cut(rest, []byte(closing))
	if !found || !closed {
		return errors.New(file + " has no place for the results")
	}
	return os.WriteFile(file, slices.Concat(before, []byte(opening), []byte(text), []byte(closing), after), 0o644) // #nosec G306 -- a document
}
