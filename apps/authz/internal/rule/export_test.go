package rule

import "time"

// SetBacktrackLimit changes how long a match may take in patterns compiled from now on, and returns how to undo
// that. On a busy machine a test can be stopped for longer than the real limit.
func SetBacktrackLimit(limit time.Duration) (undo func()) {
	before := backtrackLimit
	backtrackLimit = limit
	return func() { backtrackLimit = before }
}
