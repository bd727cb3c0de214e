// Package etag makes entity tags of row versions (RFC 9110, sections 8.8.3 and 13.1.1).
package etag

import (
	"strconv"
	"strings"

	"gatehouse.internal/api/internal/problem"
)

// Of is the tag of a version.
func Of(version int64) *string {
	tag := strconv.Quote(strconv.FormatInt(version, 10))
	return &tag
}

// Match refuses a change that is based on another version. Without an If-Match every version will do.
func Match(ifMatch *string, version int64) error {
	if ifMatch == nil {
		return nil
	}
	for tag := range strings.SplitSeq(*ifMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == *Of(version) {
			return nil
		}
	}
	return problem.New(problem.PreconditionFailed, "It was changed in the meantime. Read it again.")
}
