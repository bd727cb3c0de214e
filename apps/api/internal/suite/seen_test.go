//go:build integration

package suite

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	document "gatehouse.internal/api/openapi"
)

// outcomes counts which answers the tests have seen.
type outcomes struct {
	mu    sync.Mutex
	of    map[string]bool // "operationId status"
	paths map[string]*openapi3.PathItem
}

// elsewhere are outcomes that another suite sees, because this one has no Hydra flow at hand: internal/app's contract, and
// internal/ory with the real Hydra.
var elsewhere = []string{
	"getConsent 200", "getConsent 404", "getConsent 410", "decideConsent 200", "decideConsent 404", "decideConsent 410",
	"getMe 403",
}

var seen = func() *outcomes {
	doc, err := openapi3.NewLoader().LoadFromData(document.Document)
	if err != nil {
		panic(err)
	}
	return &outcomes{of: map[string]bool{}, paths: doc.Paths.Map()}
}()

// record notes an answer, and fails the test when the document does not promise it.
func (o *outcomes) record(t *testing.T, method, path string, status int) {
	t.Helper()
	operation := o.operation(method, path)
	if operation == nil || status == http.StatusAccepted {
		return // 202 stands for any success that the index does not show yet
	}
	promised := operation.Responses.Status(status) != nil
	require.True(t, promised || status == http.StatusMethodNotAllowed, "%s answered %d, which the document does not promise", operation.OperationID, status)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[fmt.Sprintf("%s %d", operation.OperationID, status)] = true
}

// operation finds that of a path: the template whose fixed segments fit, the most fixed ones first.
func (o *outcomes) operation(method, path string) *openapi3.Operation {
	var best *openapi3.Operation
	fixed := -1
	for template, item := range o.paths {
		if n, ok := fits(template, path); ok && n > fixed {
			best, fixed = item.GetOperation(method), n
		}
	}
	return best
}

func fits(template, path string) (fixed int, ok bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return 0, false
	}
	for i, segment := range want {
		if strings.HasPrefix(segment, "{") {
			continue
		}
		if segment != got[i] {
			return 0, false
		}
		fixed++
	}
	return fixed, true
}

// missing lists what the document promises and no test has seen.
func (o *outcomes) missing() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, item := range o.paths {
		for _, operation := range item.Operations() {
			for code := range operation.Responses.Map() {
				if _, err := strconv.Atoi(code); err != nil {
					continue
				}
				if outcome := operation.OperationID + " " + code; !o.of[outcome] && !slices.Contains(elsewhere, outcome) {
					out = append(out, outcome)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}
