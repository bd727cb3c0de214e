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
)

// report is a table of medians with what it was measured on.
func report(scenarios []scenario, targets []target, results map[string][]sample) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Measured on %s; %d interleaved runs, medians, %d requests at a time, least and most in brackets.\n\n", machine(), *rounds, concurrency)
	out.WriteString("| scenario | server | CPU per request | of the floor | requests/s | p99 |\n|---|---|---:|---:|---:|---:|\n")
	for _, s := range scenarios {
		least := median(results[s.name+"/"+targets[0].name], func(s sample) float64 { return s.cpu })
		for _, target := range targets {
			samples := results[s.name+"/"+target.name]
			used := median(samples, func(s sample) float64 { return s.cpu })
			lowest := slices.MinFunc(samples, func(a, b sample) int { return int(a.cpu - b.cpu) }).cpu
			highest := slices.MaxFunc(samples, func(a, b sample) int { return int(a.cpu - b.cpu) }).cpu
			fmt.Fprintf(&out, "| %s | %s | %.0f us (%.0f-%.0f) | %.2f x | %.0f | %.1f ms |\n", s.name, target.name, used, lowest, highest, used/least,
				median(samples, func(s sample) float64 { return s.rate }),
				median(samples, func(s sample) float64 { return float64(s.latency.Microseconds()) / 1000 }))
		}
	}
	return out.String()
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func machine() string {
	model := "an unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); found != nil {
			model = string(found[1])
		}
	}
	load := "unknown"
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(average), " ")
	}
	return fmt.Sprintf("%s, %d CPUs, %s/%s, %s, load average at the end %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), load)
}

// The results stand between these lines of the document.
const (
	opening = "<!-- bench-authz begins -->\n"
	closing = "<!-- bench-authz ends -->"
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
