//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// table has a row for each scenario and target: medians, with the least and the most in brackets.
func table(scenarios []scenario, targets []target, results map[string][]sample) string {
	var out strings.Builder
	out.WriteString("| scenario | server | CPU per request, us | of which | of the first | requests/s | p50, ms | p99, ms |\n|---|---|---:|---|---:|---:|---:|---:|\n")
	for _, s := range scenarios {
		first := median(results[s.name+"/"+targets[0].name], sample.total)
		for _, target := range targets {
			samples := results[s.name+"/"+target.name]
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %.2f x | %s | %s | %s |\n", s.name, target.name,
				spread(samples, "%.0f", sample.total),
				shares(target.parts, samples),
				median(samples, sample.total)/first,
				spread(samples, "%.0f", func(s sample) float64 { return s.rate }),
				spread(samples, "%.1f", func(s sample) float64 { return float64(s.p50.Microseconds()) / 1000 }),
				spread(samples, "%.1f", func(s sample) float64 { return float64(s.p99.Microseconds()) / 1000 }))
		}
	}
	return out.String()
}

// shares tells how the CPU is divided, where more than one process works for an answer.
func shares(parts []part, samples []sample) string {
	if len(parts) == 1 {
		return ""
	}
	var out []string
	for i, p := range parts {
		out = append(out, fmt.Sprintf("%s %.0f", p.name, median(samples, func(s sample) float64 { return s.cpu[i] })))
	}
	return strings.Join(out, ", ")
}

func spread(samples []sample, format string, of func(sample) float64) string {
	values := sorted(samples, of)
	return fmt.Sprintf(format+" ("+format+"-"+format+")", values[len(values)/2], values[0], values[len(values)-1])
}

func median(samples []sample, of func(sample) float64) float64 {
	return sorted(samples, of)[len(samples)/2]
}

func sorted(samples []sample, of func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values
}

// machine says what was measured on, and how busy it was before.
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
	return fmt.Sprintf("Measured on %s, %d CPUs, %s/%s, %s, load average before it %s; %d interleaved runs, medians, least and most in brackets.\n\n",
		model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), load, *rounds)
}

// write puts the text between the marks of the section.
func write(file, section, text string) error {
	old, err := os.ReadFile(file) // #nosec G304 -- named by whoever measures
	if err != nil {
		return err
	}
	opening, closing := "<!-- bench-authz "+section+" begins -->\n", "<!-- bench-authz "+section+" ends -->"
	before, rest, found := bytes.Cut(old, []byte(opening))
	_, after, closed := bytes.Cut(rest, []byte(closing))
	if !found || !closed {
		return fmt.Errorf("%s has no place for the results %q", file, section)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(opening), []byte(text), []byte(closing), after), 0o644) // #nosec G306 -- a document
}
