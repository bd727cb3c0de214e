//go:build differential

package differential

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// mismatch is one thing that the two gates say differently.
type mismatch struct {
	What         string // status, body, or header <name>
	Theirs, Ours string
}

func (m mismatch) String() string {
	return fmt.Sprintf("%s: Oathkeeper %q, authz %q", m.What, m.Theirs, m.Ours)
}

// compare lists what differs. After a different status nothing else is compared.
func compare(theirs, ours answer) []mismatch {
	if theirs.Status != ours.Status {
		return []mismatch{{"status", fmt.Sprint(theirs.Status), fmt.Sprint(ours.Status)}}
	}
	var out []mismatch
	names := map[string]bool{}
	for name := range theirs.Header {
		names[name] = true
	}
	for name := range ours.Header {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		// A header that Oathkeeper sets to nothing is one that authz may remove.
		if left, right := value(theirs.Header, name), value(ours.Header, name); left != right {
			out = append(out, mismatch{"header " + name, left, right})
		}
	}
	if left, right := body(theirs.Body), body(ours.Body); !reflect.DeepEqual(left, right) {
		out = append(out, mismatch{"body", theirs.Body, ours.Body})
	}
	return out
}

// value makes values comparable: of a token its header and claims without what is new in every one.
func value(header http.Header, name string) string {
	text := strings.Join(header.Values(name), " | ")
	if name == "Cookie" { // Oathkeeper writes them in no order
		cookies := strings.Split(text, "; ")
		slices.Sort(cookies)
		return strings.Join(cookies, "; ")
	}
	raw, isBearer := strings.CutPrefix(text, "Bearer ")
	if !isBearer {
		return text
	}
	claims := jwt.MapClaims{}
	token, _, err := jwt.NewParser().ParseUnverified(raw, claims)
	if err != nil {
		return text
	}
	issued, _ := claims.GetIssuedAt()
	for _, name := range []string{"exp", "nbf", "iat"} {
		if at, isNumber := claims[name].(float64); isNumber && issued != nil {
			claims[name] = at - float64(issued.Unix())
		}
	}
	delete(claims, "jti")
	delete(token.Header, "typ")
	return string(marshal([]any{token.Header, claims}))
}

func body(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	return strings.TrimSpace(text)
}
