package pipeline_test

import (
	"testing"

	"github.com/Masterminds/sprig/v3"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/authz/internal/pipeline"
)

func TestTemplateThatReadsOnlyTheCallerIsRepeatable(t *testing.T) {
	for text, want := range map[string]bool{
		"":                     true,
		"plain":                true,
		"{{ print .Subject }}": true,
		"{{ .Extra.a.b }}":     true,
		"{{ $.Extra.a }}":      true,
		"{{/* said */}}x":      true,
		"{{ $x := .Extra.a }}{{ $x.MatchContext }}":                                       true, // of Extra's, whatever its name
		"{{ range $i, $v := .Extra.list }}{{ $i }}{{ .value }}{{ $v }}{{ . }}{{ end }}":   true,
		"{{ with .Extra.identity }}{{ .traits.email | lower }}{{ else }}-{{ end }}":       true,
		`{{ if and .Extra.identity (not (hasKey .Extra "scp")) }}{{ .Subject }}{{ end }}`: true,
		`{"aud":["a"],"c":{{ print .Extra.client_id | toJson }}}`:                         true,
		`{{ (index .Extra "a").b }}`:                                                      true,
		`{{ range .Extra.list }}{{ break }}{{ end }}`:                                     true,
		`{{ with .Extra.a }}{{ $.MatchContext.Method }}{{ end }}`:                         false,
		"{{ .MatchContext.Method }}":                                                      false,
		"{{ printIndex .MatchContext.RegexpCaptureGroups 0 }}":                            false,
		"{{ if .MatchContext.Header }}x{{ end }}":                                         false,
		"{{ with .Subject }}{{ else }}{{ .MatchContext.Method }}{{ end }}":                false,
		"{{ range .Extra.x }}{{ else }}{{ .MatchContext.Method }}{{ end }}":               false,
		`{{ (index .Extra.a .MatchContext.Method) }}`:                                     false,
		`{{ (print .MatchContext.URL.Path).x }}`:                                          false,
		"{{ .Header }}":                                                                   false,
		`{{ .Header.Get "X-A" }}`:                                                         false,
		"{{ .Credential.Token }}":                                                         false,
		"{{ . }}":                                                                         false,
		"{{ toJson . }}":                                                                  false,
		"{{ $ | toJson }}":                                                                false,
		"{{ with . }}{{ .MatchContext.Method }}{{ end }}":                                 false,
		"{{ with $ }}{{ .MatchContext.Method }}{{ end }}":                                 false,
		"{{ $x := . }}{{ $x.MatchContext.Method }}":                                       false,
		"{{ $x := $ }}{{ $x.MatchContext.Method }}":                                       false,
		"{{ $x := .Extra }}{{ $x = . }}{{ $x.MatchContext.Method }}":                      false,
		`{{ define "x" }}{{ .MatchContext.Method }}{{ end }}{{ template "x" . }}`:         false,
		`{{ block "x" .Extra }}{{ . }}{{ end }}`:                                          false,
		`{{ list . | first }}`:                                                            false,
		`{{ set .Extra "a" "b" }}`:                                                        false, // changes what the next template reads
		`{{ keys .Extra }}`:                                                               false, // in any order
		`{{ now }}`:                                                                       false,
		`{{ with .Extra.x }}{{ now | date "15" }}{{ end }}`:                               false,
		`{{ if false }}{{ uuidv4 }}{{ end }}`:                                             false,
		`{{ call .Extra.f }}`:                                                             false,
		`{{ range until (randInt 1 3) }}x{{ end }}`:                                       false,
	} {
		compiled, err := pipeline.NewTemplate("test", text)
		require.NoError(t, err, text)
		require.Equal(t, want, compiled.Repeatable(), text)
	}
}

// What a function that this list forgets does is known of all that sprig has now: a new one must be put here or
// among the repeatable ones by whoever updates the library.
func TestFunctionThatSaysAnotherThingEachTimeIsNotRepeatable(t *testing.T) {
	all := sprig.TxtFuncMap()
	for _, name := range []string{
		"now", "ago", "date", "dateInZone", "date_in_zone", "dateModify", "date_modify", "mustDateModify", "must_date_modify", "htmlDate",
		"htmlDateInZone", "toDate", "mustToDate", "duration", "durationRound", "unixEpoch",
		"randAlpha", "randAlphaNum", "randAscii", "randNumeric", "randBytes", "randInt", "shuffle", "uuidv4",
		"genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
		"bcrypt", "htpasswd", "encryptAES", "derivePassword", "buildCustomCert",
		"set", "unset", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite", "sortAlpha", "keys", "values",
	} {
		require.Contains(t, all, name)
		compiled, err := pipeline.NewTemplate("test", "{{ if .Extra.x }}{{ "+name+" }}{{ end }}")
		require.NoError(t, err)
		require.False(t, compiled.Repeatable(), name)
	}
}

// Two requests of one caller that differ in all else must get the same from a repeatable template.
func FuzzRepeatableTemplateSeesNothingOfTheRequest(f *testing.F) {
	for _, seed := range []string{
		"{{ print .Subject }}", `{{ range $k, $v := .Extra }}{{ $k }}{{ $v }}{{ end }}`, `{{ with .Extra.list }}{{ . | toJson }}{{ $.Subject }}{{ end }}`,
		`{{ $.MatchContext.Method }}`, `{{ . }}`, `{{ with $x := $ }}{{ $x }}{{ end }}`, `{{ .Extra.MatchContext.Method }}`, `{{ .Header }}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		compiled, err := pipeline.NewTemplate("fuzz", text)
		if err != nil || !compiled.Repeatable() {
			return
		}
		one, other := request(nil), request(map[string][]string{"X-A": {"1"}})
		other.Method, other.Path, other.Host, other.Query, other.ID = "POST", "/another", "another.example", "q=2", "id-2"
		var written [2]string
		var problems [2]error
		for i, s := range []*pipeline.Session{pipeline.NewSession(one, nil), pipeline.NewSession(other, []string{"x"})} {
			s.Subject = "ann"
			s.Extra = map[string]any{"a": nil, "list": []any{"x", 1.5, true}, "m": map[string]any{"b": "c"}}
			s.Credential = pipeline.Credential{Token: []string{"t-1", "t-2"}[i]}
			s.Header.Set("X-Mine", []string{"1", "2"}[i])
			written[i], problems[i] = compiled.Render(s)
		}
		require.Equal(t, written[0], written[1])
		require.Equal(t, problems[0] == nil, problems[1] == nil)
	})
}

func BenchmarkRender(b *testing.B) {
	s := pipeline.NewSession(request(nil), nil)
	s.Subject = "u-1"
	s.Extra = map[string]any{"scp": []string{"read", "write"}, "client_id": "c-1"}
	for name, text := range map[string]string{
		"plain":    `{"aud":["api"]}`,
		"subject":  "{{ print .Subject }}",
		"scopes":   `{{ if .Extra.scp }}{{ join " " .Extra.scp }}{{ else }}{{ print .Extra.scope }}{{ end }}`,
		"claims":   `{"aud":["up"],"client_id":{{ print .Extra.client_id | toJson }}}`,
		"captures": `{{ printIndex .MatchContext.RegexpCaptureGroups 0 }}`,
	} {
		compiled, err := pipeline.NewTemplate("bench", text)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compiled.Render(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
