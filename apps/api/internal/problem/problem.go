// Package problem holds the ways in which a request can be refused. A problem has a code that programs
// branch on, a text for the caller and, apart from it, a cause for the log. It must never know HTTP
// beyond the status, and a cause must never reach the caller.
package problem

import (
	"errors"
	"net/http"
)

// Code names a problem. Codes are part of the API: they are added, never changed.
type Code string

// The codes.
const (
	Unauthenticated  Code = "unauthenticated"
	Forbidden        Code = "forbidden"
	StepUpRequired   Code = "step_up_required"
	AccountDisabled  Code = "account_disabled"
	CrossSite        Code = "cross_site_request"
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	ChallengeExpired Code = "challenge_expired"
	CursorGone       Code = "cursor_gone"
	InvalidRequest   Code = "invalid_request"
	TooLarge         Code = "too_large"
	Unavailable      Code = "unavailable"
	Internal         Code = "internal"

	SessionRequired       Code = "session_required"
	InsufficientScope     Code = "insufficient_scope"
	PreconditionFailed    Code = "precondition_failed"
	NotConverged          Code = "not_converged"
	IdempotencyInProgress Code = "idempotency_in_progress"
	IdempotencyMismatch   Code = "idempotency_mismatch"
	SlugTaken             Code = "slug_taken"
	LastOwner             Code = "last_owner"
	NotEmpty              Code = "not_empty"
	Conflict              Code = "conflict"
	Unprocessable         Code = "unprocessable"
	RateLimited           Code = "rate_limited"
	OperationInProgress   Code = "operation_in_progress"
	AccountDeleted        Code = "account_deleted"
	RecentLoginRequired   Code = "recent_login_required"

	AlreadyInvited       Code = "already_invited"
	AlreadyMember        Code = "already_member"
	AddressUnverified    Code = "address_unverified"
	InvitationForAnother Code = "invitation_for_another"
	InvitationEnded      Code = "invitation_ended"
	InvitationExpired    Code = "invitation_expired"
	InvitationVoid       Code = "invitation_void"
)

var statuses = map[Code]int{
	Unauthenticated:  http.StatusUnauthorized,
	Forbidden:        http.StatusForbidden,
	StepUpRequired:   http.StatusForbidden,
	AccountDisabled:  http.StatusForbidden,
	CrossSite:        http.StatusForbidden,
	NotFound:         http.StatusNotFound,
	MethodNotAllowed: http.StatusMethodNotAllowed,
	ChallengeExpired: http.StatusGone,
	CursorGone:       http.StatusGone,
	InvalidRequest:   http.StatusBadRequest,
	TooLarge:         http.StatusRequestEntityTooLarge,
	Unavailable:      http.StatusServiceUnavailable,
	Internal:         http.StatusInternalServerError,

	SessionRequired:       http.StatusForbidden,
	InsufficientScope:     http.StatusForbidden,
	PreconditionFailed:    http.StatusPreconditionFailed,
	NotConverged:          http.StatusConflict,
	IdempotencyInProgress: http.StatusConflict,
	IdempotencyMismatch:   http.StatusUnprocessableEntity,
	SlugTaken:             http.StatusConflict,
	LastOwner:             http.StatusConflict,
	NotEmpty:              http.StatusConflict,
	Conflict:              http.StatusConflict,
	Unprocessable:         http.StatusUnprocessableEntity,
	RateLimited:           http.StatusTooManyRequests,
	OperationInProgress:   http.StatusConflict,
	AccountDeleted:        http.StatusConflict,
	RecentLoginRequired:   http.StatusForbidden,

	AlreadyInvited:       http.StatusConflict,
	AlreadyMember:        http.StatusConflict,
	AddressUnverified:    http.StatusForbidden,
	InvitationForAnother: http.StatusForbidden,
	InvitationEnded:      http.StatusGone,
	InvitationExpired:    http.StatusGone,
	InvitationVoid:       http.StatusConflict,
}

// Field says what is wrong with one field of the request.
type Field struct{ Name, Reason string }

// Problem is an error with a public face.
type Problem struct {
	Code   Code
	Detail string
	Fields []Field
	cause  error
}

// New returns a problem whose detail the caller sees.
func New(code Code, detail string) *Problem { return &Problem{Code: code, Detail: detail} }

// Invalid returns an InvalidRequest about fields.
func Invalid(fields ...Field) *Problem {
	return &Problem{Code: InvalidRequest, Detail: "The request does not fit the API's description.", Fields: fields}
}

// Hidden is the answer about what does not exist and about what the caller may not know to exist: the same.
func Hidden() *Problem { return New(NotFound, "There is nothing here that you may see.") }

// Semantic returns an Unprocessable about fields: the form is right and what it says is not.
func Semantic(fields ...Field) *Problem {
	return &Problem{Code: Unprocessable, Detail: "The request cannot be carried out as it stands.", Fields: fields}
}

// Because returns the problem with a cause for the log.
func (p *Problem) Because(cause error) *Problem {
	out := *p
	out.cause = cause
	return &out
}

// Status is the HTTP status of the problem.
func (p *Problem) Status() int { return statuses[p.Code] }

// Title is the same for every problem with this code, and the same whether the API or the door refused.
func (p *Problem) Title() string { return http.StatusText(p.Status()) }

// Error is for the log, never for the caller.
func (p *Problem) Error() string {
	if p.cause != nil {
		return string(p.Code) + ": " + p.cause.Error()
	}
	return string(p.Code) + ": " + p.Detail
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.cause }

// From returns the problem in err's chain; any other error is Internal, with err as its cause.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return New(Internal, "Something went wrong on our side.").Because(err)
}
