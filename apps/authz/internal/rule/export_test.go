package rule

import (
	"regexp"
	"time"
)

// SetBacktrackLimit changes how long a match may take in patterns compiled from now on, and returns how to undo
// that. On a busy machine a test can be stopped for longer than the real limit.
func SetBacktrackLimit(limit time.Duration) (undo func()) {
	before := backtrackLimit
	backtrackLimit = limit
	return func() { backtrackLimit = before }
}

// Requestable tells that a target has the form that the search for overlaps takes for that of all requests.
var Requestable = regexp.MustCompile(requestable).MatchString
