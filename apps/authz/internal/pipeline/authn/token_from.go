package authn

import (
	"errors"
	"net/url"
	"strings"

	"gatehouse.internal/authz/internal/pipeline"
)

// tokenFrom says where a request carries its token. The zero value means Authorization: Bearer.
type tokenFrom struct {
	Header         string `json:"header"`
	QueryParameter string `json:"query_parameter"`
	Cookie         string `json:"cookie"`
}

func (f *tokenFrom) verify() error {
	if f == nil {
		return nil
	}
	set := 0
	for _, value := range []string{f.Header, f.QueryParameter, f.Cookie} {
		if value != "" {
			set++
		}
	}
	if set > 1 {
		return errors.New("token_from: only one of header, query_parameter and cookie")
	}
	return nil
}

func (f *tokenFrom) token(r *pipeline.Request) string {
	switch {
	case f == nil:
		return bearer(r)
	case f.Header != "" && f.Header != "Authorization": // "authorization" is for Oathkeeper a header that holds the bare token
		return r.Header.Get(f.Header)
	case f.QueryParameter != "":
		values, _ := url.ParseQuery(r.Query) // what can be read of a malformed query still counts
		return values.Get(f.QueryParameter)
	case f.Cookie != "":
		value, _ := r.Cookie(f.Cookie)
		return value
	default:
		return bearer(r)
	}
}

func bearer(r *pipeline.Request) string {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}
