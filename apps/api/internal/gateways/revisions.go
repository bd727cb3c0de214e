package gateways

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"gatehouse.internal/api/internal/audit"
	"gatehouse.internal/api/internal/change"
	"gatehouse.internal/api/internal/database"
	"gatehouse.internal/api/internal/etag"
	"gatehouse.internal/api/internal/gateways/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
	"gatehouse.internal/api/internal/principal"
	"gatehouse.internal/api/internal/problem"
)

// GetConfig returns the revision in force. Its ETag is its number.
func (o *Operations) GetConfig(ctx context.Context, r openapi.GetConfigRequestObject) (openapi.GetConfigResponseObject, error) {
	rows := row.New(o.Pool)
	gateway, err := rows.Find(ctx, r.Gateway)
	if err != nil {
		return nil, database.Missing(err)
	}
	found, err := rows.Revision(ctx, row.RevisionParams{GatewayID: gateway.ID, Number: gateway.CurrentRevision})
	if err != nil {
		return nil, database.Missing(err)
	}
	body, err := revision(found)
	return openapi.GetConfig200JSONResponse{
		Body: body, Headers: openapi.GetConfig200ResponseHeaders{ETag: etag.Of(int64(found.Number))},
	}, err
}

// PutConfig publishes a configuration as the next revision.
func (o *Operations) PutConfig(ctx context.Context, r openapi.PutConfigRequestObject) (openapi.PutConfigResponseObject, error) {
	if err := verify(r.Body.Config); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(r.Body.Config)
	if err != nil {
		return nil, err
	}
	wanted := row.AddRevisionParams{Config: encoded}
	if r.Body.Note != nil {
		wanted.Note = *r.Body.Note
	}
	var body openapi.Revision
	err = o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows, gateway, err := lock(ctx, u, r.Gateway)
		if err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, int64(gateway.CurrentRevision)); err != nil {
			return err
		}
		body, err = publish(ctx, u, rows, gateway, wanted, "gateway.publish_config")
		u.Answer(http.StatusOK, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.PutConfig200JSONResponse{
		Body: body, Headers: openapi.PutConfig200ResponseHeaders{ETag: etag.Of(int64(body.Number))},
	}, nil
}

// RestoreRevision publishes what an older revision says. It is checked again: what was right when it was published may
// be refused today.
func (o *Operations) RestoreRevision(ctx context.Context, r openapi.RestoreRevisionRequestObject) (openapi.RestoreRevisionResponseObject, error) {
	var body openapi.Revision
	err := o.Changes.Do(ctx, func(ctx context.Context, u *change.Unit) error {
		rows, gateway, err := lock(ctx, u, r.Gateway)
		if err != nil {
			return err
		}
		if err := etag.Match(r.Params.IfMatch, int64(gateway.CurrentRevision)); err != nil {
			return err
		}
		number := int32(r.Number) //nolint:gosec // the document bounds it
		if number == gateway.CurrentRevision {
			return problem.New(problem.Conflict, "This revision is in force.")
		}
		old, err := rows.Revision(ctx, row.RevisionParams{GatewayID: gateway.ID, Number: number})
		if err != nil {
			return database.Missing(err)
		}
		var config openapi.GatewayConfig
		if err := json.Unmarshal(old.Config, &config); err != nil {
			return fmt.Errorf("revision %d of %s: %w", old.Number, gateway.ID, err)
		}
		if err := verify(config); err != nil {
			return err
		}
		wanted := row.AddRevisionParams{Config: old.Config, Note: "Restores revision " + strconv.Itoa(r.Number) + ".", Restores: &number}
		body, err = publish(ctx, u, rows, gateway, wanted, "gateway.restore_config")
		u.Answer(http.StatusCreated, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return openapi.RestoreRevision201JSONResponse{
		Body: body, Headers: openapi.RestoreRevision201ResponseHeaders{ETag: etag.Of(int64(body.Number))},
	}, nil
}

// publish adds the next revision of a locked gateway and puts it in force.
func publish(ctx context.Context, u *change.Unit, rows *row.Queries, gateway row.Gateway, wanted row.AddRevisionParams, action string) (openapi.Revision, error) {
	caller, err := principal.From(ctx)
	if err != nil {
		return openapi.Revision{}, err
	}
	if gateway.CurrentRevision == math.MaxInt32 {
		return openapi.Revision{}, problem.New(problem.Conflict, "The gateway has had all revisions that it can have.")
	}
	wanted.GatewayID, wanted.Number = gateway.ID, gateway.CurrentRevision+1
	wanted.CreatedByKind, wanted.CreatedByID = string(caller.Kind), caller.ID()
	added, err := rows.AddRevision(ctx, wanted)
	if err != nil {
		return openapi.Revision{}, err
	}
	if _, err := rows.Publish(ctx, row.PublishParams{ID: gateway.ID, CurrentRevision: added.Number}); err != nil {
		return openapi.Revision{}, err
	}
	u.Audit(audit.Event{
		Organization: gateway.OrganizationID, Action: action, Target: target(gateway.ID),
		Before: recordedRevision{gateway.CurrentRevision, nil}, After: recordedRevision{added.Number, added.Restores},
	})
	return revision(added)
}

type recordedRevision struct {
	Revision int32  `json:"revision"`
	Restores *int32 `json:"restores,omitempty"`
}

// ListRevisions lists revisions, newest first. Their numbers are the cursor: they say nothing that the list does not.
func (o *Operations) ListRevisions(ctx context.Context, r openapi.ListRevisionsRequestObject) (openapi.ListRevisionsResponseObject, error) {
	p, err := page.Of(nil, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	before := int32(math.MaxInt32)
	if r.Params.Cursor != nil && *r.Params.Cursor < math.MaxInt32 {
		before = int32(*r.Params.Cursor) //nolint:gosec // compared
	}
	found, err := row.New(o.Pool).Revisions(ctx, row.RevisionsParams{GatewayID: r.Gateway, BeforeNumber: before, Rows: p.Rows()})
	if err != nil {
		return nil, database.Problem(err)
	}
	var next *int
	if len(found) > p.Limit {
		found = found[:p.Limit]
		last := int(found[p.Limit-1].Number)
		next = &last
	}
	items := make([]openapi.RevisionSummary, 0, len(found))
	for _, f := range found {
		items = append(items, summary(f))
	}
	return openapi.ListRevisions200JSONResponse{Items: items, NextCursor: next}, nil
}

// GetRevision returns one revision.
func (o *Operations) GetRevision(ctx context.Context, r openapi.GetRevisionRequestObject) (openapi.GetRevisionResponseObject, error) {
	found, err := row.New(o.Pool).Revision(ctx, row.RevisionParams{GatewayID: r.Gateway, Number: int32(r.Number)}) //nolint:gosec // the document bounds it
	if err != nil {
		return nil, database.Missing(err)
	}
	body, err := revision(found)
	return openapi.GetRevision200JSONResponse(body), err
}

// DiffRevision compares a revision with the one before, or with another.
func (o *Operations) DiffRevision(ctx context.Context, r openapi.DiffRevisionRequestObject) (openapi.DiffRevisionResponseObject, error) {
	against := r.Number - 1
	if r.Params.Against != nil {
		against = *r.Params.Against
	}
	configs := make([]openapi.GatewayConfig, 2)
	for i, number := range []int{against, r.Number} {
		if number == 0 { // before the first there was nothing
			continue
		}
		if number > math.MaxInt32 {
			return nil, problem.Hidden()
		}
		found, err := row.New(o.Pool).Revision(ctx, row.RevisionParams{GatewayID: r.Gateway, Number: int32(number)}) //nolint:gosec // compared
		if err != nil {
			return nil, database.Missing(err)
		}
		if err := json.Unmarshal(found.Config, &configs[i]); err != nil {
			return nil, fmt.Errorf("revision %d of %s: %w", number, r.Gateway, err)
		}
	}
	out := diff(configs[0], configs[1])
	out.From, out.To = against, r.Number
	return openapi.DiffRevision200JSONResponse(out), nil
}

func summary(f row.RevisionsRow) openapi.RevisionSummary {
	out := openapi.RevisionSummary{Number: int(f.Number), Note: f.Note, CreatedAt: f.CreatedAt.UTC(), Routes: int(f.Routes)}
	out.CreatedBy.Type, out.CreatedBy.Id = f.CreatedByKind, f.CreatedByID
	if f.Restores != nil {
		restores := int(*f.Restores)
		out.Restores = &restores
	}
	return out
}

func revision(f row.GatewayRevision) (openapi.Revision, error) {
	var config openapi.GatewayConfig
	if err := json.Unmarshal(f.Config, &config); err != nil {
		return openapi.Revision{}, fmt.Errorf("revision %d of %s: %w", f.Number, f.GatewayID, err)
	}
	s := summary(row.RevisionsRow{
		Number: f.Number, Note: f.Note, Restores: f.Restores, CreatedByKind: f.CreatedByKind, CreatedByID: f.CreatedByID,
		CreatedAt: f.CreatedAt, Routes: int32(len(config.Routes)), //nolint:gosec // at most 1000
	})
	return openapi.Revision{
		Number: s.Number, Note: s.Note, Restores: s.Restores, CreatedBy: s.CreatedBy, CreatedAt: s.CreatedAt, Routes: s.Routes, Config: config,
	}, nil
}
