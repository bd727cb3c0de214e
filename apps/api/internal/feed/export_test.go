package feed

import "time"

// PageEntries is how many entries a page has at most.
const PageEntries = pageEntries

// LookEvery replaces the time after which those who wait look for themselves. Call it before Part serves.
func (f *Feed) LookEvery(d time.Duration) { f.fallback = d }
