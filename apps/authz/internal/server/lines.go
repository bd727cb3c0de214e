package server

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gatehouse.internal/authz/internal/engine"
)

// unusualLines bounds, per second, the lines about denials, and those about errors. It is there for a flood: more
// than anybody reads, and less than fills a disk while somebody is on the way.
const unusualLines = 1000

// lineLimits bound how many decisions of an outcome are written to the log. All are counted by the metrics. Each
// outcome has its own bound, so a flood of one hides none of another. nil bounds nothing.
type lineLimits [3]lineLimit

// newLineLimits lets allowed lines per second about allowed requests pass.
func newLineLimits(allowed int) *lineLimits {
	var l lineLimits
	for outcome, perSecond := range map[engine.Outcome]int{
		engine.Failed: unusualLines, engine.Denied: unusualLines, engine.Allowed: allowed,
	} {
		l[outcome].bucket = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
	return &l
}

// next tells whether a line may be written now, and how many of its outcome were left out since the last one.
func (l *lineLimits) next(outcome engine.Outcome, now time.Time) (leftOut int64, write bool) {
	if l == nil {
		return 0, true
	}
	limit := &l[outcome]
	if !limit.bucket.AllowN(now, 1) {
		limit.leftOut.Add(1)
		return 0, false
	}
	return limit.leftOut.Swap(0), true
}

type lineLimit struct {
	bucket  *rate.Limiter
	leftOut atomic.Int64
}
