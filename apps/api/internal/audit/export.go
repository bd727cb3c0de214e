package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"time"

	"gatehouse.internal/api/internal/audit/row"
	"gatehouse.internal/api/internal/openapi"
	"gatehouse.internal/api/internal/page"
)

// ExportAuditEvents writes an organization's log as a file. It is read page by page while it is sent: a log of any length
// takes the memory of one page and holds no transaction open.
func (o *Operations) ExportAuditEvents(ctx context.Context, r openapi.ExportAuditEventsRequestObject) (openapi.ExportAuditEventsResponseObject, error) {
	file := &export{
		ctx: ctx, operations: o, page: page.Page{Limit: exported},
		filter: filter{r.Organization, r.Params.Actor, r.Params.Action, r.Params.Target, r.Params.From, r.Params.Until},
	}
	disposition := "attachment; filename=audit." + string(r.Params.Format)
	if r.Params.Format == openapi.Csv {
		file.write = writeCSV
		if err := csv.NewWriter(&file.buffer).WriteAll([][]string{columns}); err != nil {
			return nil, err
		}
	} else {
		file.write = writeJSON
	}
	if err := file.next(); err != nil { // the first page, while a refusal can still be said
		return nil, err
	}
	if r.Params.Format == openapi.Csv {
		return openapi.ExportAuditEvents200TextcsvResponse{
			Body: file, Headers: openapi.ExportAuditEvents200ResponseHeaders{ContentDisposition: &disposition},
		}, nil
	}
	return openapi.ExportAuditEvents200ApplicationxNdjsonResponse{
		Body: file, Headers: openapi.ExportAuditEvents200ResponseHeaders{ContentDisposition: &disposition},
	}, nil
}

// exported is how many events are read at once.
const exported = 1000

// export is a file while it is read.
type export struct {
	ctx        context.Context //nolint:containedctx // it lives as long as the request that reads it
	operations *Operations
	filter     filter
	page       page.Page
	write      func(io.Writer, row.AuditEvent) error
	buffer     bytes.Buffer
	done       bool
}

// Read implements io.Reader.
func (e *export) Read(p []byte) (int, error) {
	for e.buffer.Len() == 0 {
		if e.done {
			return 0, io.EOF
		}
		if err := e.next(); err != nil {
			return 0, err
		}
	}
	return e.buffer.Read(p)
}

// next reads a page into the buffer.
func (e *export) next() error {
	found, err := e.operations.read(e.ctx, e.page, e.filter)
	if err != nil {
		return err
	}
	if e.done = len(found) <= e.page.Limit; !e.done {
		found = found[:e.page.Limit]
		e.page.After = found[len(found)-1].ID
	}
	for _, event := range found {
		if err := e.write(&e.buffer, event); err != nil {
			return err
		}
	}
	return nil
}

var columns = []string{
	"id", "at", "actor_type", "actor_id", "actor_client_id", "action", "target_type", "target_id", "address", "request_id", "before", "after",
}

func writeCSV(to io.Writer, event row.AuditEvent) error {
	e := answer(event)
	record := []string{
		e.Id.String(), e.At.Format(time.RFC3339Nano), string(e.Actor.Type), e.Actor.Id, text(e.Actor.ClientId), e.Action,
		e.Target.Type, e.Target.Id, text(e.Address), e.RequestId, string(event.Before), string(event.After),
	}
	for i := range record {
		record[i] = inert(record[i])
	}
	return csv.NewWriter(to).WriteAll([][]string{record})
}

// inert keeps a spreadsheet from reading a cell as a formula: a request id, for one, is the client's to choose.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func writeJSON(to io.Writer, event row.AuditEvent) error {
	return json.NewEncoder(to).Encode(answer(event))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
