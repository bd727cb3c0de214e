package errors

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
)

// when is one condition of an error handler. Its parts are all required; several conditions are
// alternatives, and no condition at all fits everything. Oathkeeper's "remote_ip" is missing, so a
// rule that has it is invalid rather than wrong.
type when struct {
	Error   []string `json:"error"`
	Request struct {
		Header struct {
			Accept      []string `json:"accept"`
			ContentType []string `json:"content_type"`
		} `json:"header"`
	} `json:"request"`
}

func anyWhen(conditions []when, r *pipeline.Request, d *pipeline.Denial) bool {
	return len(conditions) == 0 || slices.ContainsFunc(conditions, func(w when) bool { return w.fits(r, d) })
}

func (w when) fits(r *pipeline.Request, d *pipeline.Denial) bool {
	if len(w.Error) > 0 && !slices.Contains(w.Error, snake(d.Status)) {
		return false
	}
	header := w.Request.Header
	return anyMedia(r.Header.Get("Accept"), header.Accept) && anyMedia(r.Header.Get("Content-Type"), header.ContentType)
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
