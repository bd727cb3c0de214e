package revocation

import (
	"encoding/json"
	"errors"
	"fmt"
)

const (
	maxID     = 1024 // bytes
	maxCursor = 1024
)

// page is a stretch of the feed, in commit order.
type page struct {
	Entries []Entry `json:"entries"`
	// Cursor is the place after the last entry.
	Cursor string `json:"cursor"`
	// More says that entries follow which were there when the page was made.
	More bool `json:"more"`

	whole bool // these are all entries that there are
}

// parsePage refuses a page of which it would have to skip a part: what cannot be understood cannot be
// enforced, and the follower must not move past it. Fields that it does not know are left alone.
func parsePage(data []byte) (page, error) {
	var p page
	if err := json.Unmarshal(data, &p); err != nil {
		return page{}, fmt.Errorf("not a page: %w", err)
	}
	if p.Entries == nil {
		return page{}, errors.New(`not a page: no "entries"`)
	}
	if len(p.Cursor) > maxCursor {
		return page{}, fmt.Errorf("cursor: longer than %d bytes", maxCursor)
	}
	for i, entry := range p.Entries {
		if err := entry.verify(); err != nil {
			return page{}, fmt.Errorf("entries[%d].%w", i, err)
		}
	}
	return p, nil
}

func (e Entry) verify() error {
	switch {
	case !e.Kind.known():
		return errors.New("kind: unknown")
	case e.ID == "" || len(e.ID) > maxID:
		return fmt.Errorf("id: must have 1 to %d bytes", maxID)
	case e.Expires.IsZero():
		return errors.New("expires: missing")
	default:
		return nil
	}
}
