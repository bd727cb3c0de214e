// Package page cuts lists. Rows are in the order of their ids, which are UUIDv7 and so in the order of creation; a page
// begins after the last id of the one before. Nothing is counted and nothing skipped, so the last page costs what the
// first does, and what is added meanwhile moves nothing.
package page

import (
	"encoding/base64"
	"encoding/json"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/problem"
)

// The number of items on a page.
const (
	DefaultLimit = 50
	MaxLimit     = 100
)

// Page is where to begin, exclusively, and how many to read.
type Page struct {
	After uuid.UUID
	Limit int
}

// Of reads the parameters of a list. A cursor that we did not write is the caller's mistake.
func Of(cursor *string, limit *int) (Page, error) {
	out := Page{Limit: DefaultLimit}
	if limit != nil {
		out.Limit = min(max(1, *limit), MaxLimit)
	}
	if cursor == nil || *cursor == "" {
		return out, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*cursor)
	if err == nil {
		out.After, err = uuid.FromBytes(raw)
	}
	if err != nil {
		return Page{}, problem.Invalid(problem.Field{Name: "cursor", Reason: "is none that a list has given"})
	}
	return out, nil
}

// Rows is how many rows to ask for: one more than fits tells whether there is another page.
func (p Page) Rows() int32 { return int32(p.Limit) + 1 } //nolint:gosec // at most MaxLimit, or what the code says

// Cut returns what fits the page, and the cursor of the next one, nil on the last.
func Cut[T any](p Page, rows []T, id func(T) uuid.UUID) ([]T, *string) {
	if len(rows) <= p.Limit {
		return rows, nil
	}
	rows = rows[:p.Limit]
	last := id(rows[len(rows)-1])
	next := base64.RawURLEncoding.EncodeToString(last[:])
	return rows, &next
}

// Parts reads the cursor of a list whose order is that of several columns: n of them, all empty on the first page.
func Parts(cursor *string, n int) ([]string, error) {
	out := make([]string, n)
	if cursor == nil || *cursor == "" {
		return out, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*cursor)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil || len(out) != n {
		return nil, problem.Invalid(problem.Field{Name: "cursor", Reason: "is none that a list has given"})
	}
	return out, nil
}

// CutParts is Cut for such a list.
func CutParts[T any](p Page, rows []T, parts func(T) []string) ([]T, *string) {
	if len(rows) <= p.Limit {
		return rows, nil
	}
	rows = rows[:p.Limit]
	encoded, _ := json.Marshal(parts(rows[len(rows)-1])) // strings
	next := base64.RawURLEncoding.EncodeToString(encoded)
	return rows, &next
}
