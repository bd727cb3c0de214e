//go:build door

package door

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The folder that docs/authz.md tells people to copy. What it says is tried here with the real servers:
//
//	GATEHOUSE_TEST_OATHKEEPER  the path of the Oathkeeper program
const example = repository + "/docs/examples/oathkeeper-switch"

// authzProgram is built once.
var authzProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "authz-program")
	out, err := exec.Command("go", "build", "-C", repository+"/apps/authz", "-o", program, "./cmd/authz").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
})

// switching is the example's folder with the servers that it names, at ports of their own.
type switching struct {
	t      *testing.T
	folder string
	envoy  *door
	// ports by those that the example's files name.
	ports map[string]string
	// kill ends authz.
	kill func()

	mu   sync.Mutex
	seen []http.Header // what reached the backend
	path []string
}

// newSwitching copies the example and adds rules.
func newSwitching(t *testing.T, rules ...map[string]any) *switching {
	t.Helper()
	s := &switching{t: t, folder: t.TempDir(), ports: map[string]string{}}
	backend := httptest.NewServer(s)
	t.Cleanup(backend.Close)
	for _, port := range []string{"4455", "4456", "9000", "9191", "9192"} {
		s.ports[port] = fmt.Sprint(freePort(t))
	}
	s.ports["7000"] = backend.URL[strings.LastIndexByte(backend.URL, ':')+1:]
	s.ports["8455"], s.ports["9901"] = "0", "0" // Envoy chooses

	files, err := os.ReadDir(example)
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(example, file.Name()))
		require.NoError(t, err)
		for from, to := range s.ports {
			text = bytes.ReplaceAll(text, []byte("port_value: "+from+"}"), []byte("port_value: "+to+"}"))
		}
		text = bytes.ReplaceAll(text, []byte("127.0.0.1:7000"), []byte("127.0.0.1:"+s.ports["7000"]))
		s.write(file.Name(), text)
	}
	s.addRules("rules.json", rules)
	return s
}

// addRules writes the example's rules and these into a file.
func (s *switching) addRules(name string, more []map[string]any) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "rules.json"))
	require.NoError(s.t, err)
	var all []map[string]any
	require.NoError(s.t, json.Unmarshal(text, &all))
	text, err = json.Marshal(append(all, more...))
	require.NoError(s.t, err)
	s.write(name, text)
}

func (s *switching) write(name string, text []byte) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.folder, name), text, 0o600))
}

// ServeHTTP is the backend: it answers with what reached it.
func (s *switching) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Header.Clone())
	s.path = append(s.path, r.RequestURI)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintln(w, `{"backend":true}`)
}

// took returns what has reached the backend since it was last asked.
func (s *switching) took() (seen []http.Header, path []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, path = s.seen, s.path
	s.seen, s.path = nil, nil
	return seen, path
}

// keys makes the example's jwks.json as its readers do.
func (s *switching) keys() {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), s.oathkeeperProgram(), "credentials", "generate", "--alg", "RS256").Output()
	require.NoError(s.t, err)
	s.write("jwks.json", out)
}

func (s *switching) oathkeeperProgram() string {
	s.t.Helper()
	program := os.Getenv("GATEHOUSE_TEST_OATHKEEPER")
	require.NotEmpty(s.t, program, "GATEHOUSE_TEST_OATHKEEPER must name the Oathkeeper program to compare with")
	return program
}

func (s *switching) startOathkeeper() {
	s.t.Helper()
	s.launch([]string{"SQA_OPT_OUT=true", "SERVE_PROXY_PORT=" + s.ports["4455"], "SERVE_API_PORT=" + s.ports["4456"], "SERVE_PROMETHEUS_PORT=" + s.ports["9000"]},
		s.oathkeeperProgram(), "serve", "-c", "oathkeeper.yml")
	s.await("http://127.0.0.1:" + s.ports["4456"] + "/health/ready")
}

func (s *switching) startAuthz() {
	s.t.Helper()
	program, err := authzProgram()
	require.NoError(s.t, err)
	s.kill = s.launch([]string{"GATEHOUSE_AUTHZ_GRPC_ADDRESS=127.0.0.1:" + s.ports["9191"], "GATEHOUSE_AUTHZ_OPS_ADDRESS=127.0.0.1:" + s.ports["9192"]},
		program, "serve", "--config", "authz.yml")
	s.await("http://127.0.0.1:" + s.ports["9192"] + "/readyz")
}

func (s *switching) startEnvoy(config string) {
	s.t.Helper()
	s.envoy = &door{name: config}
	require.NoError(s.t, s.envoy.launch(os.Getenv("GATEHOUSE_TEST_ENVOY"), filepath.Join(s.folder, config), filepath.Join(s.folder, "admin")))
	s.t.Cleanup(s.envoy.stop)
}

// launch starts a program in the folder and returns how to end it before the test does.
func (s *switching) launch(environment []string, program string, arguments ...string) (kill func()) {
	s.t.Helper()
	process := exec.Command(program, arguments...)
	process.Dir, process.Env = s.folder, append(os.Environ(), environment...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when the thread that started the child ends
		defer close(ended)
		err := process.Start()
		started <- err
		if err == nil {
			_ = process.Wait()
		}
	}()
	require.NoError(s.t, <-started)
	kill = sync.OnceFunc(func() {
		_ = process.Process.Kill()
		<-ended
	})
	s.t.Cleanup(kill)
	return kill
}

func (s *switching) await(url string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := ask(ctx, url)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(s.t, err)
		case <-tick.C:
		}
	}
}

// get asks the example's Host, on whatever port the server listens.
func (s *switching) get(address, path string, headers ...string) answer {
	s.t.Helper()
	d := &door{address: address}
	all := d.raw(s.t, switched(path, headers...))
	require.Len(s.t, all, 1)
	return all[0]
}

func switched(target string, headers ...string) string {
	return strings.Replace(head(http.MethodGet, target, headers...), "Host: localhost:8080", "Host: localhost:4455", 1)
}

// What docs/authz.md promises of the switch: with the same two files, the same answers.
func TestTheSwitchFromOathkeeperChangesNoAnswer(t *testing.T) {
	s := newSwitching(t)
	s.keys()
	s.startOathkeeper()
	s.startAuthz()
	s.startEnvoy("envoy.yaml")
	for _, path := range []string{"/anything/header", "/anything/header?a=b", "/anything/id_token", "/anything/deny", "/anything/nothing", "/anything/header/"} {
		for _, accept := range []string{"application/json", "text/html", "*/*"} {
			t.Run(path+" "+accept, func(t *testing.T) {
				s.took()
				theirs := s.get("127.0.0.1:"+s.ports["4455"], path, "Accept", accept)
				ours := s.get(s.envoy.address, path, "Accept", accept)
				require.Equal(t, theirs.status, ours.status)
				for _, name := range []string{"Location", "Content-Type"} {
					require.Equal(t, theirs.header.Get(name), ours.header.Get(name), name)
				}
				require.Equal(t, plain(theirs.body), plain(ours.body))
				seen, paths := s.took()
				if theirs.status != http.StatusOK {
					require.Empty(t, paths)
					return
				}
				require.Equal(t, []string{path, path}, paths)
				require.Equal(t, seen[0]["X-User"], seen[1]["X-User"])
				require.Equal(t, claims(t, seen[0]), claims(t, seen[1]))
			})
		}
	}
}

// plain is a body without the request's id, which Oathkeeper gets from no Envoy.
func plain(body string) string {
	var e map[string]map[string]any
	if json.Unmarshal([]byte(body), &e) != nil || e["error"] == nil {
		return body
	}
	delete(e["error"], "request")
	text, _ := json.Marshal(e)
	return string(text)
}

// claims are those of the identity token that are the same each time.
func claims(t *testing.T, header http.Header) map[string]any {
	t.Helper()
	token, found := strings.CutPrefix(header.Get("Authorization"), "Bearer ")
	if !found {
		return nil
	}
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	all := map[string]any{}
	for _, part := range parts[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &all))
	}
	for _, name := range []string{"exp", "iat", "nbf", "jti"} {
		delete(all, name)
	}
	return all
}

// Two gates on live traffic: Oathkeeper decides, and the log says what authz would have said.
func TestInShadowModeAuthzIsAskedAndChangesNothing(t *testing.T) {
	s := newSwitching(t)
	s.keys()
	s.startOathkeeper()
	// The candidate's rules differ: it refuses what Oathkeeper passes, and sets a header of its own.
	text, err := os.ReadFile(filepath.Join(s.folder, "rules.json"))
	require.NoError(t, err)
	candidate := strings.Replace(string(text), `"allow"`, `"deny"`, 1) // of the rule header
	candidate = strings.ReplaceAll(candidate, `{"handler":"id_token"}`, `{"handler":"header","config":{"headers":{"X-Candidate":"1"}}}`)
	require.NotEqual(t, string(text), candidate)
	s.write("candidate.json", []byte(candidate))
	config, err := os.ReadFile(filepath.Join(s.folder, "oathkeeper.yml"))
	require.NoError(t, err)
	s.write("candidate.yml", bytes.Replace(config, []byte("rules.json"), []byte("candidate.json"), 1))
	s.write("authz.yml", []byte("oathkeeper_config: candidate.yml\n"))
	s.startAuthz()
	s.startEnvoy("envoy-shadow.yaml")

	require.Equal(t, http.StatusOK, s.get(s.envoy.address, "/anything/header", "X-User", forged).status)
	seen, _ := s.took()
	require.Equal(t, []string{"guest"}, seen[0]["X-User"], "Oathkeeper's")
	require.Equal(t, http.StatusOK, s.get(s.envoy.address, "/anything/id_token", "X-User-Email", "kept").status)
	seen, _ = s.took()
	require.Equal(t, []string{"kept"}, seen[0]["X-User-Email"], "the candidate takes nothing away")
	require.Empty(t, seen[0]["X-Candidate"], "and sets nothing")
	require.NotNil(t, claims(t, seen[0]), "Oathkeeper's identity token")
	require.Equal(t, http.StatusForbidden, s.get(s.envoy.address, "/anything/deny").status)
	s.kill()
	require.Equal(t, http.StatusOK, s.get(s.envoy.address, "/anything/header?gone").status, "an outage of the candidate is none")

	s.envoy.stop()
	var found []string
	for line := range strings.Lines(s.envoy.out.String()) {
		var one struct {
			Path            string
			Status          int
			Candidate       string
			CandidateStatus string `json:"candidate_status"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &one), line)
		found = append(found, fmt.Sprintf("%s %d %s %s", one.Path, one.Status, one.Candidate, one.CandidateStatus))
	}
	require.Equal(t, []string{
		"/anything/header 200 DENIED 403", "/anything/id_token 200 OK 200", "/anything/deny 403 DENIED 403", "/anything/header 200 ERROR 403",
	}, found)
}

// The advisories of docs/attacks.md in which Envoy's settings are a part of the defence, against those that the
// example gives to others, with the real authz behind it.
func TestAdvisoriesThroughEnvoyAndAuthz(t *testing.T) {
	s := newSwitching(t, map[string]any{
		"id": "secure", "match": map[string]any{"url": "https://<.*>/anything/secure", "methods": []string{"GET"}},
		"authenticators": []any{map[string]any{"handler": "anonymous"}}, "authorizer": map[string]any{"handler": "allow"}, "mutators": []any{map[string]any{"handler": "noop"}},
	})
	s.keys()
	s.startAuthz()
	s.startEnvoy("envoy.yaml")

	const open, shut = "/anything/header", "/anything/deny"
	paths := map[string][]string{
		"CVE-2026-33494": {open + "/../deny", open + "/%2e%2e/deny", open + "/..%2fdeny", open + "/..%5cdeny", open + `/..\deny`, open + "/./../deny", "/anything/x/%2E%2E/deny"},
		"CVE-2026-42274": {open + "/%252e%252e/deny", "/%61nything/deny", "/anything/%64eny", open + "%2f..%2fdeny"},
		"CVE-2026-42272": {"/anything%2fdeny", "/anything%2Fdeny"},
		"CVE-2026-26205": {"//anything/deny", "///anything/deny", "/anything//deny", "//localhost:4455/anything/deny"},
		"CVE-2026-48020": {open + "/../../anything/deny", "/anything/../anything/deny"},
		"CVE-2021-32779": {shut + "#" + open, open + "#/../deny", shut + "?#" + open},
		"CVE-2026-73553": {open + ";/../deny", shut + ";a=b", "/anything;x/deny", open + "/..;/deny"},
		"CVE-2025-54576": {shut + "?" + open, shut + "?x=" + open, shut + "?http://localhost:4455" + open},
		"CVE-2021-32637": {shut + "%", shut + "%zz", "%2fanything/deny", "anything/deny", "*"},
	}
	for id, list := range paths {
		t.Run(id, func(t *testing.T) {
			for _, path := range list {
				s.took()
				a := s.get(s.envoy.address, path)
				_, reached := s.took()
				for _, at := range reached { // what was resolved before anybody decided is another request
					require.Equal(t, open, strings.SplitN(at, "?", 2)[0], "%s passed", path)
				}
				require.Equal(t, a.status == http.StatusOK, len(reached) == 1, "%s: %d", path, a.status)
			}
		})
	}
	never := func(t *testing.T, status []int, path string, headers ...string) {
		t.Helper()
		s.took()
		require.Contains(t, status, s.get(s.envoy.address, path, headers...).status)
		_, reached := s.took()
		require.Empty(t, reached)
	}
	t.Run("CVE-2026-40575 and CVE-2023-27487", func(t *testing.T) {
		for _, name := range []string{"X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-Url", "X-Rewrite-Url", "X-Envoy-Original-Path", "X-Forwarded-Method", "X-Forwarded-Host"} {
			never(t, []int{403}, shut, name, open)
		}
	})
	t.Run("CVE-2026-34457", func(t *testing.T) { never(t, []int{403}, shut, "User-Agent", "GoogleHC/1.0") })
	t.Run("CVE-2026-33495", func(t *testing.T) {
		never(t, []int{404}, "/anything/secure", "X-Forwarded-Proto", "https")
		s.took()
		s.envoy.h2(t, "", ":method", "GET", ":scheme", "https", ":authority", "localhost:4455", ":path", "/anything/secure", "x-forwarded-proto", "https")
		_, reached := s.took()
		require.Empty(t, reached)
	})
	t.Run("CVE-2025-64484", func(t *testing.T) {
		never(t, []int{400}, open, "X_User", forged)
		never(t, []int{400}, shut, "X_Forwarded_Proto", "https")
	})
	t.Run("CVE-2026-54763", func(t *testing.T) { // the dotted alias, which no setting of Envoy's refuses
		for _, path := range []string{open, "/anything/id_token"} {
			require.Equal(t, http.StatusOK, s.get(s.envoy.address, path, "X.User", forged, "X-User", forged, "X.user-ID", forged).status)
			seen, _ := s.took()
			for name, values := range seen[0] {
				require.NotContains(t, values, forged, name)
			}
		}
	})
	t.Run("envoyproxy/envoy#43310 and CVE-2021-32777", func(t *testing.T) {
		require.Equal(t, http.StatusOK, s.get(s.envoy.address, open, "X-User", forged, "x-user", "again").status)
		seen, _ := s.took()
		require.Equal(t, []string{"guest"}, seen[0]["X-User"])
	})
	t.Run("GO-2023-1747", func(t *testing.T) {
		s.took()
		a := (&door{address: s.envoy.address}).raw(t, "GET "+open+" HTTP/1.1\r\nHost: localhost:4455\r\nConnection: close, x-user\r\nX-User: forged\r\n\r\n")
		seen, _ := s.took()
		require.Len(t, a, 1)
		if a[0].status == http.StatusOK {
			require.Equal(t, []string{"guest"}, seen[0]["X-User"])
		} else {
			require.Empty(t, seen)
		}
	})
	t.Run("GHSA-7774-7vr3-cc8j", func(t *testing.T) {
		for _, host := range []string{"LOCALHOST:4455", "LocalHost:4455", "localhost.:4455"} {
			s.took()
			a := s.envoy.raw(t, strings.Replace(switched(shut), "localhost:4455", host, 1))
			require.Equal(t, http.StatusForbidden, a[0].status, host)
			_, reached := s.took()
			require.Empty(t, reached)
		}
	})
	t.Run("CVE-2026-57209", func(t *testing.T) {
		for _, host := range []string{"localhost:4455" + open, "a@localhost:4455", "localhost:4455?x"} {
			a := s.envoy.raw(t, strings.Replace(switched(shut), "localhost:4455", host, 1))
			require.GreaterOrEqual(t, a[0].status, 400, host)
		}
		_, reached := s.took()
		require.Empty(t, reached)
	})
	t.Run("CVE-2023-27488", func(t *testing.T) {
		never(t, []int{403}, shut, "X-Odd", "\xff\xfe", "Cookie", "\xff=\xc3\x28")
		never(t, []int{400, 403, 404, 503}, shut+"\xff")
	})
	t.Run("CVE-2026-73547", func(t *testing.T) {
		a := s.envoy.raw(t, "CONNECT localhost:4455 HTTP/1.1\r\nHost: localhost:4455\r\nConnection: close\r\n\r\n")
		require.GreaterOrEqual(t, a[0].status, 400)
		_, reached := s.took()
		require.Empty(t, reached)
	})
	t.Run("a gate that is gone is an outage", func(t *testing.T) {
		s.kill()
		never(t, []int{503}, open)
		s.startAuthz()
		require.Equal(t, http.StatusOK, s.get(s.envoy.address, open).status)
	})
}
