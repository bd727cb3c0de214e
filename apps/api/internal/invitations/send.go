package invitations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/jobs"
	"gatehouse.internal/api/internal/mail"
)

// Send is the job that sends one mail. It names the mail and nothing else: the token is made when the mail is sent, so that
// none is ever in the queue.
type Send struct {
	Mail uuid.UUID `json:"mail"`
}

// Kind implements river.JobArgs.
func (Send) Kind() string { return "invitations.send" }

// InsertOpts implements river.JobArgsWithInsertOpts. At one try a minute this outlasts a night without a mail server.
func (Send) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1000} }

// Post sends the mails.
type Post struct {
	Pool   *pgxpool.Pool
	Sender mail.Sender
	// PublicURL is the origin that browsers see.
	PublicURL string
	Now       func() time.Time
}

// sendTimeout is less than River waits before it takes a job for lost: two tries at once would each make a token.
const sendTimeout = 25 * time.Second

// Register adds the worker.
func Register(workers *river.Workers, post *Post) {
	river.AddWorker(workers, jobs.Worker(sendTimeout, post.Send))
}

// Send sends a mail, unless it need not be sent any more: another was asked for, or the invitation is over. A try that fails
// leaves a token that nobody has, and the next one makes another. When it is unknown whether the server took a mail, the
// person may get two, and the later one's token counts.
func (p *Post) Send(ctx context.Context, job Send) error {
	secret := newToken()
	rows := row.New(p.Pool)
	// First the hash, then the mail: people are quick.
	found, err := rows.SetToken(ctx, row.SetTokenParams{MailID: job.Mail, TokenHash: secret.hash(), At: p.Now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("invitation mail: %w", err)
	}
	message, err := write(found, p.link(secret))
	if err != nil {
		return river.JobCancel(err)
	}
	err = p.Sender.Send(ctx, message)
	if refused, ok := errors.AsType[*mail.Refused](err); ok && refused.Permanent {
		slog.WarnContext(ctx, "an invitation cannot be delivered", "mail", job.Mail, "code", refused.Code)
		return river.JobCancel(refused)
	}
	if err != nil {
		return err
	}
	return rows.Sent(ctx, row.SentParams{MailID: job.Mail, At: p.Now()})
}

// link leads to the page that accepts. The token is its fragment, which browsers send to no server, not even as a Referer.
func (p *Post) link(secret token) string {
	return p.PublicURL + "/invitations#" + url.PathEscape(string(secret))
}
