package errors

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
)

// when is one condition of an error handler. Its parts are all required; several conditions are
// alternatives, and no condition at all fits everything.
type when struct {
	Error   []string `json:"error"`
	Request struct {
		Header struct {
			Accept      []string `json:"accept"`
			ContentType []string `json:"content_type"`
		} `json:"header"`
		RemoteIP struct {
			Match []netip.Prefix `json:"match"`
			// RespectForwardedForHeader changes nothing here. Oathkeeper lets any entry of X-Forwarded-For
			// match, which everybody can write; the proxy has computed the client's address from it already.
			RespectForwardedForHeader bool `json:"respect_forwarded_for_header"`
		} `json:"remote_ip"`
	} `json:"request"`
}

// kinds are the errors that a condition can name. Oathkeeper's schema has all but the last, which
// its newer versions have.
var kinds = []string{"unauthorized", "forbidden", "not_found", "internal_server_error", "too_many_requests"}

func verify(conditions []when) error {
	var problems []error
	for i, w := range conditions {
		for _, kind := range w.Error {
			if !slices.Contains(kinds, kind) {
				problems = append(problems, fmt.Errorf("when[%d].error: %q is none of %s", i, kind, strings.Join(kinds, ", ")))
			}
		}
	}
	return errors.Join(problems...)
}

func anyWhen(conditions []when, r *pipeline.Request, d *pipeline.Denial) bool {
	return len(conditions) == 0 || slices.ContainsFunc(conditions, func(w when) bool { return w.fits(r, d) })
}

func (w when) fits(r *pipeline.Request, d *pipeline.Denial) bool {
	if len(w.Error) > 0 && !slices.Contains(w.Error, snake(d.Status)) {
		return false
	}
	header, from := w.Request.Header, w.Request.RemoteIP.Match
	return anyMedia(r.Header.Get("Accept"), header.Accept) && anyMedia(r.Header.Get("Content-Type"), header.ContentType) &&
		(len(from) == 0 || slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(r.RemoteIP) }))
}

func snake(status int) string {
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}

// anyMedia tells whether one of the request's media types fits one of the handler's. A wildcard of
// the handler fits many; a wildcard of the request fits only itself, or curl's "Accept: */*" would
// be redirected to a login page.
func anyMedia(sent string, handled []string) bool {
	if len(handled) == 0 {
		return true
	}
	for item := range strings.SplitSeq(cmp.Or(sent, "application/octet-stream"), ",") {
		media, _, _ := strings.Cut(item, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		for _, pattern := range handled {
			family, isFamily := strings.CutSuffix(pattern, "/*")
			if pattern == "*/*" || pattern == media || (isFamily && strings.HasPrefix(media, family+"/")) {
				return true
			}
		}
	}
	return false
}
