package ory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gatehouse.internal/api/internal/principal"
)

// credentials are the headers that Kratos finds a session by.
var credentials = []string{"Cookie", "X-Session-Cookie", "X-Session-Token", "Authorization"}

// maxSessions is the most that Kratos lists at once.
const maxSessions = "1000"

// CurrentSession returns the id of the session that a request with these headers is of, whatever its kind of
// credentials; ErrRejected when it certainly is of none, ErrStepUp when Kratos does not tell.
func (k *KratosPublic) CurrentSession(ctx context.Context, header http.Header) (string, error) {
	var session struct {
		ID string `json:"id"`
	}
	if err := k.as(ctx, header, "/sessions/whoami", &session); err != nil {
		return "", err
	}
	if session.ID == "" {
		return "", errors.New("kratos whoami: a session without an id")
	}
	return session.ID, nil
}

// OtherSessions returns the ids of the person's other active sessions, at most a thousand, with the errors of
// CurrentSession.
func (k *KratosPublic) OtherSessions(ctx context.Context, header http.Header) ([]string, error) {
	var sessions []struct {
		ID     string `json:"id"`
		Active bool   `json:"active"`
	}
	if err := k.as(ctx, header, "/sessions?active=true&per_page="+maxSessions, &sessions); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(sessions))
	for _, session := range sessions {
		if session.Active {
			ids = append(ids, session.ID)
		}
	}
	return ids, nil
}

// as asks with somebody else's credentials. The generated client cannot: it knows two of the headers.
func (k *KratosPublic) as(ctx context.Context, header http.Header, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.base+path, nil)
	if err != nil {
		return err
	}
	for _, name := range credentials {
		request.Header[name] = header[name]
	}
	response, err := k.http.Do(request)
	if err != nil {
		return fmt.Errorf("kratos: %w", clean(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("kratos: %w", err)
	}
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return k.certain(ctx, principal.ErrRejected)
	case http.StatusForbidden:
		var answer genericError
		if json.Unmarshal(body, &answer) == nil && answer.Error.ID == "session_aal2_required" {
			return principal.ErrStepUp
		}
		fallthrough
	default:
		return fmt.Errorf("kratos: answered %d", response.StatusCode)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("kratos: %w", err)
	}
	return nil
}
