package feed

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"gatehouse.internal/api/internal/problem"
)

// longestWait bounds how long a question is kept open. It must fit the server's write timeout.
const longestWait = 30 * time.Second

// Handler answers GET with the parameters cursor and wait. Whoever may ask is for the caller to decide. refuse
// renders a problem.
func (f *Feed) Handler(refuse func(w http.ResponseWriter, r *http.Request, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait, err := waiting(r.URL.Query().Get("wait"))
		if err != nil {
			refuse(w, r, err)
			return
		}
		page, err := f.Next(r.Context(), r.URL.Query().Get("cursor"), wait)
		if errors.Is(err, ErrGone) {
			err = problem.New(problem.CursorGone, "Read the feed from its beginning.").Because(err)
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(page) // the follower is gone: it will ask again from the same place
	})
}

// waiting reads a number of seconds. Nothing is an answer now; too many are as many as there may be.
func waiting(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, problem.Invalid(problem.Field{Name: "wait", Reason: "must be a number of seconds"})
	}
	return min(time.Duration(seconds)*time.Second, longestWait), nil // #nosec G115 -- at most 31 bits
}
