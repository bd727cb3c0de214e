//go:build soak

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answer is what came back, as far as it is judged.
type answer struct {
	status int // 200 for a pass, 0 for an error
	set    map[string]string
	remove []string
	header map[string]string // of a refusal
}

// want is how a question may be answered. Errors are judged elsewhere: all kinds may have them during an outage.
type want struct {
	status  []int
	subject string // of a pass, "" for one without
}

func is(status ...int) want      { return want{status: status} }
func passes(subject string) want { return want{status: []int{200}, subject: subject} }
func question(path string, headers ...string) *authv3.CheckRequest {
	in := &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "soak.example", Path: path, Scheme: "http", HeaderMap: &corev3.HeaderMap{}}
	headers = append([]string{"x-forwarded-proto", "http", "x-request-id", "soak", "x-subject", "root"}, headers...)
	for i := 0; i < len(headers); i += 2 {
		in.HeaderMap.Headers = append(in.HeaderMap.Headers, &corev3.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: in}}}
}

// caller asks one question after the other.
type caller struct {
	*run
	random *rand.Rand
	n      int
	tokens []string

	// mine is a session of its own, which it ends now and then.
	mine  string
	ended time.Time
}

// kinds are the questions there are, each with what it may be answered. ask returns nil for a question that cannot be
// judged.
var kinds = map[string]func(*caller) (*authv3.CheckRequest, want){
	"open": func(*caller) (*authv3.CheckRequest, want) { return question("/open/x"), passes("") },
	"JWT, known": func(c *caller) (*authv3.CheckRequest, want) {
		i := c.random.IntN(len(c.tokens))
		return bearer("/jwt/x", c.tokens[i]), passes(fmt.Sprint("user-", i))
	},
	"JWT, new": func(c *caller) (*authv3.CheckRequest, want) {
		return bearer("/jwt/x", c.servers.token(c.unique("user-"), nil)), passes(c.unique("user-"))
	},
	"JWT, expired": func(c *caller) (*authv3.CheckRequest, want) {
		return bearer("/jwt/x", c.servers.token("root", map[string]any{"exp": time.Now().Add(-time.Second).Unix()})), is(401)
	},
	"JWT, for another": func(c *caller) (*authv3.CheckRequest, want) {
		return bearer("/jwt/x", c.servers.token("root", map[string]any{"aud": "other"})), is(401)
	},
	"JWT, changed": func(c *caller) (*authv3.CheckRequest, want) {
		token := []byte(c.tokens[c.random.IntN(len(c.tokens))])
		token[c.random.IntN(len(token)-3)] ^= 1 // not its last bits, which say nothing
		return bearer("/jwt/x", string(token)), is(400, 401)
	},
	"JWT, unknown key": func(*caller) (*authv3.CheckRequest, want) {
		return bearer("/jwt/x", "eyJhbGciOiJSUzI1NiIsImtpZCI6InVua25vd24ifQ.eyJzdWIiOiJyb290IiwiZXhwIjo0MDcwOTA4ODAwfQ.AAAA"), is(401)
	},
	"session": func(c *caller) (*authv3.CheckRequest, want) {
		name := fmt.Sprint("good-session-", c.random.IntN(2000))
		return cookie("/session/x", name), passes(name)
	},
	"session, ending": func(c *caller) (*authv3.CheckRequest, want) {
		switch {
		case c.mine == "":
			c.mine, c.ended = c.unique("good-mine-"), time.Time{}
		case c.ended.IsZero() && c.random.IntN(50) == 0:
			c.servers.end(c.mine)
			c.ended = time.Now()
		case !c.ended.IsZero() && time.Since(c.ended) > 3*kept+time.Second:
			c.servers.forget(c.mine)
			c.mine, c.ended = c.unique("good-mine-"), time.Time{}
		}
		w := passes(c.mine)
		if !c.ended.IsZero() {
			w.status = []int{200, 401}
		}
		if !c.ended.IsZero() && time.Since(c.ended) > 3*kept { // its TTL, and what a busy machine adds
			w = is(401)
		}
		return cookie("/session/x", c.mine), w
	},
	"session, made up": func(c *caller) (*authv3.CheckRequest, want) { return cookie("/session/x", c.unique("bad-")), is(401) },
	"token": func(c *caller) (*authv3.CheckRequest, want) {
		name := fmt.Sprint("good-token-", c.random.IntN(2000))
		return bearer("/token/x", name), passes(name)
	},
	"token, made up": func(c *caller) (*authv3.CheckRequest, want) { return bearer("/token/x", c.unique("bad-")), is(401) },
	"nobody":         func(*caller) (*authv3.CheckRequest, want) { return question("/session/x"), is(401) },
	"unknown path":   func(c *caller) (*authv3.CheckRequest, want) { return question("/" + c.unique("nothing-")), is(404) },
	"malformed": func(c *caller) (*authv3.CheckRequest, want) {
		paths := []string{"//open/x", "/open/../jwt/x", "/open/%2e%2e/jwt", "/open/x;y", "open", "/open/%zz", "/open/x#y"}
		return question(paths[c.random.IntN(len(paths))]), is(400)
	},
	"changing": func(*caller) (*authv3.CheckRequest, want) {
		return question("/changing"), want{status: []int{200, 401}}
	},
	"only in one": func(*caller) (*authv3.CheckRequest, want) {
		return question("/only-in-A"), want{status: []int{200, 404}}
	},
	"runaway match": func(*caller) (*authv3.CheckRequest, want) {
		return question("/runaway/" + strings.Repeat("a", 40) + "!"), is(500)
	},
}

// rare kinds cost a quarter of a second of a processor each.
const rare = "runaway match"

func bearer(path, token string) *authv3.CheckRequest {
	return question(path, "authorization", "Bearer "+token)
}

func cookie(path, session string) *authv3.CheckRequest {
	return question(path, "cookie", "session="+session)
}

// unique is another text for each question.
func (c *caller) unique(prefix string) string { return fmt.Sprintf("%s%p-%d", prefix, c, c.n) }

// call asks until ctx ends.
func (r *run) call(ctx context.Context, seed uint64) {
	c := &caller{run: r, random: rand.New(rand.NewPCG(seed, 1))}
	for i := range 50 {
		c.tokens = append(c.tokens, r.servers.token(fmt.Sprint("user-", i), nil))
	}
	var names []string
	for name := range kinds {
		if name != rare {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for c.n = 0; ctx.Err() == nil; c.n++ {
		kind := names[c.random.IntN(len(names))]
		if c.n%2000 == 1000 {
			kind = rare
		}
		r.busy.RLock()
		c.ask(kind)
		r.busy.RUnlock()
	}
}

func (c *caller) ask(kind string) {
	in, wanted := kinds[kind](c)
	begin := time.Now()
	out, err := c.client.Check(context.Background(), in)
	end := time.Now()
	c.count(kind)
	if err != nil {
		switch {
		case status.Code(err) != codes.Internal:
			c.fault("%s: %v", kind, err)
		case !c.servers.excused(begin, end):
			c.fault("%s: an error without an outage, at %v", kind, begin)
		default:
			c.count("errors during outages")
		}
		return
	}
	c.judge(kind, wanted, read(out))
}

func (c *caller) judge(kind string, wanted want, a answer) {
	if !slices.Contains(wanted.status, a.status) {
		c.fault("%s: %d, and not one of %v", kind, a.status, wanted.status)
		return
	}
	if a.status != http.StatusOK {
		if kind == "changing" {
			c.count("refused by set " + a.header["www-authenticate"])
			if a.header["www-authenticate"] != "Basic realm=B" {
				c.fault("%s: refused by %q", kind, a.header["www-authenticate"])
			}
		}
		return
	}
	set := a.set["x-set"]
	c.count("passed by set " + set)
	if set != "A" && set != "B" || a.set["x-set-too"] != set {
		c.fault("%s: an answer of two sets of rules: %v", kind, a.set)
	}
	if (kind == "changing" || kind == "only in one") && set != "A" {
		c.fault("%s: passed by set %s", kind, set)
	}
	if a.set["x-subject"] != wanted.subject || wanted.subject == "" && !slices.Contains(a.remove, "x-subject") {
		c.fault("%s: passed as %q, and not as %q", kind, a.set["x-subject"], wanted.subject)
	}
}

func read(out *authv3.CheckResponse) answer {
	a := answer{status: int(out.GetDeniedResponse().GetStatus().GetCode()), set: map[string]string{}, header: map[string]string{}}
	if out.GetStatus().GetCode() == int32(codes.OK) {
		a.status = http.StatusOK // whatever else it says
	}
	for _, h := range out.GetOkResponse().GetHeaders() {
		a.set[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	for _, h := range out.GetDeniedResponse().GetHeaders() {
		a.header[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	a.remove = out.GetOkResponse().GetHeadersToRemove()
	return a
}
