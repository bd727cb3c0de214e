package me

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// CheckMyPermissions answers what the caller may do. It is for showing and hiding buttons: every operation asks again.
func (o *Operations) CheckMyPermissions(ctx context.Context, r openapi.CheckMyPermissionsRequestObject) (openapi.CheckMyPermissionsResponseObject, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return nil, err
	}
	subject, err := access.SubjectOf(caller)
	if err != nil {
		return nil, err
	}
	questions := make([]permission.Question, 0, len(r.Body.Questions))
	var wrong []problem.Field
	for i, asked := range r.Body.Questions {
		name := func(member string) string { return fmt.Sprintf("questions.%d.%s", i, member) }
		text, permit, _ := strings.Cut(asked.Permit, ".")
		namespace := permission.Namespace(text)
		object := permission.PlatformObject
		switch {
		case !slices.Contains(permission.Permits[namespace], permission.Permit(permit)):
			wrong = append(wrong, problem.Field{Name: name("permit"), Reason: "is no permit"})
			continue
		case namespace == permission.Platform && asked.Object != nil:
			wrong = append(wrong, problem.Field{Name: name("object"), Reason: "the platform is one, and has no id"})
			continue
		case namespace != permission.Platform && asked.Object == nil:
			wrong = append(wrong, problem.Field{Name: name("object"), Reason: "is missing"})
			continue
		case asked.Object != nil:
			object = permission.Of(namespace, *asked.Object)
		}
		questions = append(questions, permission.Question{Subject: subject, Permit: permission.Permit(permit), Object: object})
	}
	if wrong != nil {
		return nil, problem.Invalid(wrong...)
	}
	answers, err := o.Index.Check(ctx, questions...)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "What you may do cannot be told right now. Try again.").Because(err)
	}
	items := make([]openapi.PermissionAnswer, 0, len(answers))
	for i, allowed := range answers {
		items = append(items, openapi.PermissionAnswer{Permit: r.Body.Questions[i].Permit, Object: r.Body.Questions[i].Object, Allowed: allowed})
	}
	return openapi.CheckMyPermissions200JSONResponse{Answers: items}, nil
}
