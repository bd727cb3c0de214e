package ory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	client "github.com/ory/client-go"

	"gatehouse.internal/api/internal/permission"
)

// What Keto takes in one call.
const (
	// checkBatch is Keto's default for limit.max_batch_check_size.
	checkBatch = 10
	writeBatch = 500
	listPage   = 1000
)

// Keto is Keto's read port.
//
// A principal is written as a subject id, `User:<id>`, and never as a subject set with an empty relation: Keto follows every
// subject set of a relation before it denies, which costs 18 ms of CPU instead of 1.3 where 50 people were granted a
// gateway (docs/permissions.md). The namespace in front keeps a client from being taken for a person.
type Keto struct{ server }

// NewKeto speaks to Keto's read port.
func NewKeto(base string, c *http.Client) *Keto { return &Keto{newServer(base, "/health/ready", c)} }

// Check implements permission.Checker. It asks in batches even for one question: of a permit or a namespace that the loaded
// model lacks a batch says so, while a single check says no, as it does for everything when the model is broken.
func (k *Keto) Check(ctx context.Context, questions ...permission.Question) ([]bool, error) {
	out := make([]bool, 0, len(questions))
	for batch := range slices.Chunk(questions, checkBatch) {
		results, err := k.batch(ctx, batch)
		if err != nil {
			return nil, err
		}
		for i, result := range results {
			if reason := result.GetError(); reason != "" {
				return nil, fmt.Errorf("keto: check %s: %s", batch[i], reason)
			}
			out = append(out, result.Allowed)
		}
	}
	return out, nil
}

func (k *Keto) batch(ctx context.Context, questions []permission.Question) ([]client.CheckPermissionResultWithError, error) {
	body := client.NewBatchCheckPermissionBody()
	for _, question := range questions {
		body.Tuples = append(body.Tuples, relationship(permission.Tuple{
			Object: question.Object, Relation: string(question.Permit), Subject: question.Subject.Set(),
		}))
	}
	answer, response, err := k.api.PermissionAPI.BatchCheckPermission(ctx).BatchCheckPermissionBody(*body).Execute()
	if err != nil {
		return nil, fmt.Errorf("keto: check answered %d: %w", status(response), clean(err))
	}
	if len(answer.Results) != len(questions) {
		return nil, fmt.Errorf("keto: %d answers to %d questions", len(answer.Results), len(questions))
	}
	return answer.Results, nil
}

// ErrModel says that Keto answers, and that the model it has loaded lacks what the code asks for. Waiting does not help.
var ErrModel = errors.New("keto has loaded another permission model")

// Declares fails unless the model that Keto has loaded has all the permits: with ErrModel when it lacks some, and with
// another error when Keto does not answer. A model that does not parse leaves Keto ready, without a namespace and
// denying everything.
func (k *Keto) Declares(ctx context.Context, permits map[permission.Namespace][]permission.Permit) error {
	var questions []permission.Question
	for namespace, names := range permits {
		for _, permit := range names {
			questions = append(questions, permission.Question{
				Subject: permission.Subject{Namespace: permission.User, ID: "none"}, Permit: permit,
				Object: permission.Object{Namespace: namespace, ID: "none"},
			})
		}
	}
	var missing []string
	for batch := range slices.Chunk(questions, checkBatch) {
		results, err := k.batch(ctx, batch)
		if err != nil {
			return err
		}
		for i, result := range results {
			if result.GetError() != "" {
				missing = append(missing, string(batch[i].Object.Namespace)+"."+string(batch[i].Permit))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	// Without its database Keto has an error for every question, too.
	if err := k.Ready(ctx); err != nil {
		return fmt.Errorf("keto: no answer about %d permits: %w", len(missing), err)
	}
	slices.Sort(missing)
	return fmt.Errorf("%w: it lacks %s", ErrModel, strings.Join(missing, ", "))
}

// KetoIndex reads and writes Keto's tuples. It is converge.Index.
type KetoIndex struct{ read, write server }

// NewKetoIndex speaks to Keto's two ports.
func NewKetoIndex(read, write string, c *http.Client) *KetoIndex {
	return &KetoIndex{newServer(read, "/health/ready", c), newServer(write, "/health/ready", c)}
}

// List returns the tuples of one object, each once.
func (k *KetoIndex) List(ctx context.Context, object permission.Object) ([]permission.Tuple, error) {
	return k.pages(k.read.api.RelationshipAPI.GetRelationships(ctx).Namespace(string(object.Namespace)).Object(object.ID))
}

// All returns every tuple there is, each once.
func (k *KetoIndex) All(ctx context.Context) ([]permission.Tuple, error) {
	return k.pages(k.read.api.RelationshipAPI.GetRelationships(ctx))
}

func (k *KetoIndex) pages(request client.RelationshipAPIGetRelationshipsRequest) ([]permission.Tuple, error) {
	var out []permission.Tuple
	seen := map[permission.Tuple]bool{} // Keto keeps what was inserted twice twice
	request = request.PageSize(listPage)
	for {
		page, response, err := request.Execute()
		if err != nil {
			return nil, fmt.Errorf("keto: list answered %d: %w", status(response), clean(err))
		}
		for _, relationship := range page.RelationTuples {
			if one := tuple(relationship); !seen[one] {
				seen[one] = true
				out = append(out, one)
			}
		}
		next := page.GetNextPageToken()
		if next == "" {
			return out, nil
		}
		request = request.PageToken(next)
	}
}

// Write inserts, and then, in calls of their own, removes: in one call Keto would insert before it deletes whatever the
// order, and a tuple named by both would be gone. It does not look whether a tuple is there already, and Keto keeps it twice
// then. Removing takes away every copy; removing what is not there is no error.
func (k *KetoIndex) Write(ctx context.Context, insert, remove []permission.Tuple) error {
	for _, step := range []struct {
		action string
		tuples []permission.Tuple
	}{{"insert", insert}, {"delete", remove}} {
		for batch := range slices.Chunk(step.tuples, writeBatch) {
			var patch []client.RelationshipPatch
			for _, one := range batch {
				written := relationship(one)
				patch = append(patch, client.RelationshipPatch{Action: &step.action, RelationTuple: &written})
			}
			response, err := k.write.api.RelationshipAPI.PatchRelationships(ctx).RelationshipPatch(patch).Execute()
			if err != nil {
				return fmt.Errorf("keto: %s answered %d: %w", step.action, status(response), clean(err))
			}
		}
	}
	return nil
}

// itself marks, in the relation, a subject set without one: another subject than the principal's own id, which no tuple
// of ours has and which must be seen to be removed.
const itself = "..."

func relationship(t permission.Tuple) client.Relationship {
	out := client.Relationship{Namespace: string(t.Object.Namespace), Object: t.Object.ID, Relation: t.Relation}
	switch t.Subject.Relation {
	case "":
		id := t.Subject.ID
		if t.Subject.Namespace != "" {
			id = string(t.Subject.Namespace) + ":" + id
		}
		out.SubjectId = &id
	case itself:
		out.SubjectSet = &client.SubjectSet{Namespace: string(t.Subject.Namespace), Object: t.Subject.ID}
	default:
		out.SubjectSet = &client.SubjectSet{Namespace: string(t.Subject.Namespace), Object: t.Subject.ID, Relation: t.Subject.Relation}
	}
	return out
}

// tuple is the inverse of relationship, for whatever Keto holds.
func tuple(r client.Relationship) permission.Tuple {
	out := permission.Tuple{
		Object:   permission.Object{Namespace: permission.Namespace(r.Namespace), ID: r.Object},
		Relation: r.Relation,
	}
	if set := r.SubjectSet; set != nil {
		out.Subject = permission.SubjectSet{
			Namespace: permission.Namespace(set.Namespace), ID: set.Object, Relation: cmp.Or(set.Relation, itself),
		}
		return out
	}
	namespace, id, found := strings.Cut(r.GetSubjectId(), ":")
	if !found {
		namespace, id = "", r.GetSubjectId()
	}
	out.Subject = permission.SubjectSet{Namespace: permission.Namespace(namespace), ID: id}
	return out
}
