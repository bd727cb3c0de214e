package rule

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// The last versions of Oathkeeper whose rules are written otherwise than today's.
var (
	hydratorRetries = semver.MustParse("0.32.0-beta.1")
	ketoCaptures    = semver.MustParse("0.37.0")
)

// capture is how rules once named what an expression matched.
var capture = regexp.MustCompile(`\$[0-9]+`)

// Migration says what an Oathkeeper rewrites in the rule before it runs it, because of the rule's version. It is ""
// for a rule that is run as it is written, which is one of any version that does not use what has changed since.
// An error means that Oathkeeper cannot read the version; it then loads no rule at all.
func Migration(r Rule) (string, error) {
	if r.Version == "" || r.Version == "master" { // what a build without a version calls itself
		return "", nil
	}
	version, err := semver.StrictNewVersion(strings.TrimPrefix(r.Version, "v"))
	if err != nil {
		return "", fmt.Errorf("version: %q is not a version", r.Version)
	}
	var changes []string
	if !version.GreaterThan(hydratorRetries) {
		for _, mutator := range r.Mutators {
			retry, _ := mutator.Config["retry"].(map[string]any)
			if mutator.Handler == "hydrator" && (retry["number_of_retries"] != nil || retry["delay_in_milliseconds"] != nil) {
				changes = append(changes, "the hydrator's retry")
			}
		}
	}
	if !version.GreaterThan(ketoCaptures) && r.Authorizer.Handler == "keto_engine_acp_ory" {
		for _, key := range []string{"required_action", "required_resource"} {
			if text, _ := r.Authorizer.Config[key].(string); capture.MatchString(text) {
				changes = append(changes, key)
			}
		}
	}
	return strings.Join(changes, ", "), nil
}
