//go:build integration

package suite

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/mail"
	"gatehouse.internal/api/internal/permission"
	"gatehouse.internal/api/internal/problem"
)

// received is a mail as Mailpit shows it.
type received struct {
	ID                  string
	Subject, Text, HTML string
	From                struct{ Name, Address string }
	To, Cc, Bcc         []struct{ Name, Address string }
	headers             http.Header
}

// mails are those to an address, the newest first.
func (w *world) mails(to string) []received {
	w.t.Helper()
	var found struct{ Messages []received }
	w.mailpit("/api/v1/search?query="+url.QueryEscape(`to:"`+to+`"`), &found)
	for i := range found.Messages {
		id := found.Messages[i].ID
		w.mailpit("/api/v1/message/"+id, &found.Messages[i])
		w.mailpit("/api/v1/message/"+id+"/headers", &found.Messages[i].headers)
	}
	return found.Messages
}

func (w *world) mailpit(path string, into any) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, environment(w.t, "MAIL_URL")+path, nil)
	require.NoError(w.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, response.Body.Close()) }()
	require.Equal(w.t, http.StatusOK, response.StatusCode, path)
	require.NoError(w.t, json.NewDecoder(response.Body).Decode(into))
}

// mail waits until an address has had n mails, and returns the newest.
func (w *world) mail(to string, n int) received {
	w.t.Helper()
	var all []received
	require.Eventually(w.t, func() bool { all = w.mails(to); return len(all) >= n }, time.Minute, 50*time.Millisecond, to)
	require.Len(w.t, all, n)
	return all[0]
}

var link = regexp.MustCompile(regexp.QuoteMeta(publicURL) + `/invitations#([A-Za-z0-9_-]{43})\b`)

// token is the one in the mail's link, which both forms of the mail have.
func (r received) token(t *testing.T) map[string]any {
	t.Helper()
	text, html := link.FindAllStringSubmatch(r.Text, -1), link.FindAllStringSubmatch(r.HTML, -1)
	require.Len(t, text, 1, r.Text)
	require.Len(t, html, 1, r.HTML)
	require.Equal(t, text[0][1], html[0][1])
	return map[string]any{"token": text[0][1]}
}

// invite asks an address to join.
func (w *world) invite(as caller, organization, email, role string) answer {
	w.t.Helper()
	return w.post(as, "/api/organizations/"+organization+"/invitations", map[string]any{"email": email, "role": role})
}

// invited asks an address to join, and returns where the invitation is and the token in its mail.
func (w *world) invited(as caller, organization, email, role string) (path string, token map[string]any) {
	w.t.Helper()
	path = w.invite(as, organization, email, role).requires(http.StatusCreated).header.Get("Location")
	return path, w.mail(email, 1).token(w.t)
}

func TestCreateInvitation(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	admin, member := w.member(id, "admin"), w.member(id, "member")
	path := "/api/organizations/" + id + "/invitations"

	t.Run("201, and a mail", func(t *testing.T) {
		w := w.in(t)
		email := address()
		created := w.invite(ann, id, email, "member").requires(http.StatusCreated)
		require.Equal(t, `"1"`, created.header.Get("ETag"))
		require.Equal(t, "open", created.text("status"))
		require.Equal(t, ann.id, created.text("invited_by"))
		require.Equal(t, "en", created.text("locale"))
		require.NotContains(t, created.json(), "sent_at")
		require.NotContains(t, string(created.body), "token")
		until, err := time.Parse(time.RFC3339, created.text("expires_at"))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(7*24*time.Hour), until, time.Minute)

		w.mail(email, 1).token(t)
		require.Eventually(t, func() bool { return w.get(ann, created.header.Get("Location")).text("sent_at") != "" }, time.Minute, 50*time.Millisecond)
	})
	t.Run("403 for a member, and for a role above one's own", func(t *testing.T) {
		w := w.in(t)
		w.invite(member, id, address(), "member").refused(problem.Forbidden)
		w.get(member, path).refused(problem.Forbidden)
		w.invite(admin, id, address(), "owner").refused(problem.Forbidden)
		w.invite(admin, id, address(), "admin").requires(http.StatusCreated)
		w.invite(ann, id, address(), "owner").requires(http.StatusCreated)
	})
	t.Run("409 for an address that has an open one, however it is spelled", func(t *testing.T) {
		w := w.in(t)
		email := address()
		w.invite(ann, id, email, "member").requires(http.StatusCreated)
		w.invite(ann, id, strings.ToUpper(email), "admin").refused(problem.AlreadyInvited)
		w.invite(ann, w.organization(ann), email, "member").requires(http.StatusCreated) // elsewhere
	})
	t.Run("409 for a member", func(t *testing.T) {
		w := w.in(t)
		w.invite(ann, id, strings.ToUpper(member.email()), "admin").refused(problem.AlreadyMember)
	})
	t.Run("201 for an address whose invitation expired", func(t *testing.T) {
		w := w.in(t)
		email := address()
		old, token := w.invited(ann, id, email, "owner")
		w.expire(old)
		w.invite(admin, id, email, "member").requires(http.StatusCreated)
		require.Equal(t, "expired", w.get(ann, old).text("status"))
		w.post(admin, old+"/resend", nil).refused(problem.InvitationEnded) // there would be two
		w.post(w.register(email, true, ""), "/api/invitations/accept", token).refused(problem.InvitationExpired)
	})
	t.Run("400 for what is not one plain address", func(t *testing.T) {
		w := w.in(t)
		for _, email := range []string{
			"", "nobody", "a@example.com, b@example.com", "A <a@example.com>", "a@example.com\r\nBcc: b@example.com", "\"a b\"@example.com",
			"a@example.com ", "ä@example.com", "<a@example.com>", strings.Repeat("a", 320) + "@example.com",
		} {
			w.invite(ann, id, email, "member").refused(problem.InvalidRequest)
		}
		w.post(ann, path, map[string]any{"email": address(), "role": "member", "locale": "fr"}).refused(problem.InvalidRequest)
	})
	t.Run("sent once however often it is asked for with one Idempotency-Key", func(t *testing.T) {
		w := w.in(t)
		email := address()
		again := request{method: http.MethodPost, path: path, header: map[string]string{"Idempotency-Key": "k"}, body: map[string]any{"email": email, "role": "member"}}
		first := w.do(ann, again).requires(http.StatusCreated)
		w.mail(email, 1)
		require.JSONEq(t, string(first.body), string(w.do(ann, again).requires(http.StatusCreated).body))
		other := again
		other.body = map[string]any{"email": email, "role": "admin"}
		w.do(ann, other).refused(problem.IdempotencyMismatch)
		require.Len(t, w.mails(email), 1)
	})
	t.Run("lists", func(t *testing.T) {
		w := w.in(t)
		id := w.organization(ann)
		path := "/api/organizations/" + id + "/invitations"
		first := w.invite(ann, id, address(), "member").requires(http.StatusCreated)
		second := w.invite(ann, id, address(), "member").requires(http.StatusCreated)
		w.delete(ann, first.header.Get("Location")).requires(http.StatusNoContent)
		open := w.get(ann, path).requires(http.StatusOK).items()
		require.Len(t, open, 1)
		require.Equal(t, second.text("id"), open[0]["id"])
		require.Len(t, all(w, ann, path+"?state=all&limit=1"), 2)
		w.expire(second.header.Get("Location"))
		require.Empty(t, w.get(ann, path+"?state=open").items())
		w.get(ann, path+"?state=ended").refused(problem.InvalidRequest)
		w.get(ann, path+"?cursor=nonsense").refused(problem.InvalidRequest)
		w.get(w.person(), first.header.Get("Location")).refused(problem.NotFound)
		w.get(ann, strings.Replace(first.header.Get("Location"), id, w.organization(ann), 1)).refused(problem.NotFound) // another's
	})
}

// expire lets the time of an invitation be over. What the exact moment is, internal/invitations tests with a clock.
func (w *world) expire(path string) {
	w.t.Helper()
	w.execute("UPDATE invitations SET expires_at = now() - interval '1 second' WHERE id = $1", path[strings.LastIndex(path, "/")+1:])
}

func TestInvitationMail(t *testing.T) {
	w := newWorld(t)
	ann, kim := w.person(), w.register(address(), true, "ko")
	id := w.organization(ann)
	w.get(kim, "/api/me").requires(http.StatusOK)
	w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'admin')", id, kim.id)
	path := "/api/organizations/" + id + "/invitations"
	const english, korean = "Do not pass it on", "다른 사람에게 전달하지 마세요"

	t.Run("is from us, in both forms, and answered by no machine", func(t *testing.T) {
		w := w.in(t)
		email := address()
		w.invite(ann, id, email, "admin").requires(http.StatusCreated)
		got := w.mail(email, 1)
		require.Equal(t, "no-reply@gatehouse.example", got.From.Address)
		require.Equal(t, "Gatehouse", got.From.Name)
		require.Len(t, got.To, 1)
		require.Contains(t, got.Subject, "invites you to join Acme on Gatehouse")
		require.Contains(t, got.Text, "join Acme on Gatehouse as an admin.")
		require.Contains(t, got.HTML, "<strong>Acme</strong> on Gatehouse as an admin.")
		require.Contains(t, got.Text, "UTC. "+english)
		require.Equal(t, []string{"auto-generated"}, got.headers["Auto-Submitted"])
	})
	t.Run("is in the language of the account that has the address", func(t *testing.T) {
		w := w.in(t)
		guest := w.register(address(), true, "ko")
		w.get(guest, "/api/me").requires(http.StatusOK)
		w.post(ann, path, map[string]any{"email": guest.email(), "role": "member", "locale": "en"}).requires(http.StatusCreated)
		got := w.mail(guest.email(), 1)
		require.Contains(t, got.Subject, "Acme 조직에 초대합니다")
		require.Contains(t, got.Text, "Acme 조직에 구성원 역할로 초대합니다.")
		require.Contains(t, got.Text, korean)
		require.Contains(t, got.HTML, korean)
		require.Equal(t, []string{"ko"}, got.headers["Content-Language"])
		got.token(t)
	})
	t.Run("is in the language that was chosen for a stranger, else in the inviter's", func(t *testing.T) {
		w := w.in(t)
		for _, c := range []struct {
			by       caller
			choice   map[string]any
			expected string
		}{
			{ann, map[string]any{"locale": "ko"}, korean},
			{kim, map[string]any{"locale": "en"}, english},
			{kim, map[string]any{}, korean},
			{ann, map[string]any{}, english},
		} {
			email := address()
			c.choice["email"], c.choice["role"] = email, "member"
			w.requiresConverged(c.by, id)
			w.post(c.by, path, c.choice).requires(http.StatusCreated)
			require.Contains(t, w.mail(email, 1).Text, c.expected)
		}
	})
	t.Run("names can neither add a header nor markup", func(t *testing.T) {
		w := w.in(t)
		name := "Acme\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>"
		w.execute("UPDATE organizations SET name = $2 WHERE id = $1", id, name)
		email := address()
		w.invite(ann, id, email, "member").requires(http.StatusCreated)
		got := w.mail(email, 1)
		require.Empty(t, got.Bcc)
		require.Empty(t, got.Cc)
		require.NotContains(t, got.headers, "Bcc")
		require.Contains(t, got.Subject, "join Acme Bcc: victim@example.com <script>alert(1)</script> on Gatehouse")
		require.NotContains(t, got.HTML, "<script>")
		require.Contains(t, got.HTML, "&lt;script&gt;")
		got.token(t)
	})
}

// requiresConverged makes the index show an organization's rows.
func (w *world) requiresConverged(as caller, organization string) {
	w.t.Helper()
	require.NoError(w.t, w.api.Converge(w.t.Context(), permission.Object{Namespace: permission.Organization, ID: organization}))
	w.get(as, "/api/organizations/"+organization).requires(http.StatusOK)
}

func TestAcceptInvitation(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	const accept, preview = "/api/invitations/accept", "/api/invitations/preview"

	t.Run("200 for somebody who registers afterwards, and again", func(t *testing.T) {
		w := w.in(t)
		email := address()
		path, token := w.invited(ann, id, email, "admin")
		guest := w.register(strings.ToUpper(email[:1])+email[1:], true, "")

		about := w.post(guest, preview, token).requires(http.StatusOK)
		require.Equal(t, "Acme", about.text("organization_name"))
		require.Equal(t, "admin", about.text("role"))
		require.Equal(t, "open", about.text("status"))
		w.get(guest, "/api/organizations/"+id).refused(problem.NotFound)

		for range 2 {
			joined := w.post(guest, accept, token).requires(http.StatusOK)
			require.Equal(t, id, joined.text("organization_id"))
			require.Equal(t, "admin", joined.text("role"))
		}
		w.get(guest, "/api/organizations/"+id).requires(http.StatusOK)
		require.Equal(t, "admin", w.get(ann, "/api/organizations/"+id+"/members/"+guest.id).requires(http.StatusOK).text("role"))
		accepted := w.get(ann, path).requires(http.StatusOK)
		require.Equal(t, "accepted", accepted.text("status"))
		require.Equal(t, guest.id, accepted.text("accepted_by"))
		require.Equal(t, "accepted", w.post(guest, preview, token).requires(http.StatusOK).text("status"))

		events := w.get(ann, "/api/organizations/"+id+"/audit?actor="+guest.id).requires(http.StatusOK).items()
		require.Len(t, events, 2, "one of the invitation, one of the member, though they accepted twice")
		require.Equal(t, []any{"member.join", "invitation.accept"}, []any{events[0]["action"], events[1]["action"]})

		w.delete(ann, path).refused(problem.InvitationEnded)
		w.post(ann, path+"/resend", nil).refused(problem.InvitationEnded)
		w.delete(ann, "/api/organizations/"+id+"/members/"+guest.id).requires(http.StatusNoContent)
		w.post(guest, accept, token).refused(problem.InvitationEnded) // it brings nobody back
	})
	t.Run("403 for everybody else, who learns nothing of the address", func(t *testing.T) {
		w := w.in(t)
		email := address()
		_, token := w.invited(ann, id, email, "member")
		other, unverified := w.person(), w.register(email, false, "")
		for _, operation := range []string{preview, accept, "/api/invitations/decline"} {
			refused := w.post(other, operation, token).refused(problem.InvitationForAnother)
			require.NotContains(t, string(refused.body), email)
			w.post(unverified, operation, token).refused(problem.AddressUnverified)
			w.post(w.register(address(), false, ""), operation, token).refused(problem.AddressUnverified)
			w.post(other.through("an-application", "organizations:write", "invitations:write"), operation, token).refused(problem.SessionRequired)
		}
	})
	t.Run("404 for a token that opens nothing", func(t *testing.T) {
		w := w.in(t)
		for _, operation := range []string{preview, accept, "/api/invitations/decline"} {
			w.post(w.person(), operation, map[string]any{"token": strings.Repeat("A", 43)}).refused(problem.NotFound)
		}
	})
	t.Run("409 for somebody who is a member by now", func(t *testing.T) {
		w := w.in(t)
		guest := w.person()
		path, token := w.invited(ann, id, guest.email(), "admin")
		w.get(guest, "/api/me").requires(http.StatusOK)
		w.execute("INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, 'member')", id, guest.id)
		w.post(guest, accept, token).refused(problem.AlreadyMember)
		w.post(ann, path+"/resend", nil).refused(problem.AlreadyMember)
	})
	t.Run("410 when it is over", func(t *testing.T) {
		w := w.in(t)
		guest := w.person()
		path, token := w.invited(ann, id, guest.email(), "member")
		w.expire(path)
		require.Equal(t, "expired", w.post(guest, preview, token).requires(http.StatusOK).text("status"))
		w.post(guest, accept, token).refused(problem.InvitationExpired)
		w.post(guest, "/api/invitations/decline", token).refused(problem.InvitationExpired)

		w.post(ann, path+"/resend", nil).requires(http.StatusOK) // which begins anew
		w.post(guest, accept, w.mail(guest.email(), 2).token(t)).requires(http.StatusOK)
	})
	t.Run("410 when it was taken back", func(t *testing.T) {
		w := w.in(t)
		guest := w.person()
		path, token := w.invited(ann, id, guest.email(), "member")
		w.do(ann, request{method: http.MethodDelete, path: path, header: map[string]string{"If-Match": `"99"`}}).refused(problem.PreconditionFailed)
		w.delete(ann, path).requires(http.StatusNoContent)
		w.delete(ann, path).refused(problem.InvitationEnded)
		require.Equal(t, "revoked", w.get(ann, path).text("status"))
		w.post(guest, accept, token).refused(problem.InvitationEnded)
		w.post(guest, "/api/invitations/decline", token).refused(problem.InvitationEnded)
		w.invite(ann, id, guest.email(), "member").requires(http.StatusCreated)
	})
	t.Run("410 when it was declined", func(t *testing.T) {
		w := w.in(t)
		guest := w.person()
		path, token := w.invited(ann, id, guest.email(), "member")
		w.post(guest, "/api/invitations/decline", token).requires(http.StatusNoContent)
		w.post(guest, "/api/invitations/decline", token).requires(http.StatusNoContent)
		require.Equal(t, "declined", w.get(ann, path).text("status"))
		w.post(guest, accept, token).refused(problem.InvitationEnded)
		w.post(ann, path+"/resend", nil).refused(problem.InvitationEnded)
	})
	t.Run("409 while the inviter does not hold the role any more", func(t *testing.T) {
		w := w.in(t)
		admin, second := w.member(id, "admin"), w.member(id, "owner")
		guest, heir := w.person(), w.person()
		path, token := w.invited(admin, id, guest.email(), "member")
		_, owners := w.invited(second, id, heir.email(), "owner")
		w.patch(ann, "/api/organizations/"+id+"/members/"+admin.id, map[string]any{"role": "member"}).requires(http.StatusOK)
		w.patch(ann, "/api/organizations/"+id+"/members/"+second.id, map[string]any{"role": "admin"}).requires(http.StatusOK)
		w.post(guest, accept, token).refused(problem.InvitationVoid)
		w.post(heir, accept, owners).refused(problem.InvitationVoid)
		w.delete(ann, "/api/organizations/"+id+"/members/"+admin.id).requires(http.StatusNoContent)
		w.post(guest, accept, token).refused(problem.InvitationVoid)

		resent := w.post(ann, path+"/resend", nil).requires(http.StatusOK) // somebody else answers for it
		require.Equal(t, ann.id, resent.text("invited_by"))
		w.post(guest, accept, w.mail(guest.email(), 2).token(t)).requires(http.StatusOK)
	})
	t.Run("409 while the inviter is suspended", func(t *testing.T) {
		w := w.in(t)
		admin, guest := w.member(id, "admin"), w.person()
		_, token := w.invited(admin, id, guest.email(), "member")
		w.operate(w.administrator(), admin, "suspend")
		w.post(guest, accept, token).refused(problem.InvitationVoid)
	})
}

func TestAcceptingNeedsKratos(t *testing.T) {
	w := newWorld(t)
	ann, guest := w.person(), w.person()
	w.get(guest, "/api/me").requires(http.StatusOK)
	_, token := w.invited(ann, w.organization(ann), guest.email(), "member")
	w.restart(func(s *settings) { s.Kratos.AdminURL = "http://127.0.0.1:1" })
	w.post(guest, "/api/invitations/accept", token).refused(problem.Unavailable)

	w.restart(nil)
	w.post(guest, "/api/invitations/accept", token).requires(http.StatusOK)
}

func TestResendInvitation(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.Invitations.MailsPerInvitation, s.Invitations.MailsPerOrganization = 2, 4 })
	ann := w.person()
	id := w.organization(ann)

	t.Run("ends the token of the mail before", func(t *testing.T) {
		w := w.in(t)
		guest := w.person()
		path, first := w.invited(ann, id, guest.email(), "member")
		w.post(ann, path+"/resend", nil).requires(http.StatusOK)
		w.post(guest, "/api/invitations/accept", first).refused(problem.NotFound)
		second := w.mail(guest.email(), 2).token(t)
		require.NotEqual(t, first, second)
		w.post(guest, "/api/invitations/accept", first).refused(problem.NotFound)

		t.Run("429 more often than a day allows", func(t *testing.T) {
			w := w.in(t)
			w.post(ann, path+"/resend", nil).refused(problem.RateLimited)
			require.Equal(t, "open", w.post(guest, "/api/invitations/preview", second).text("status")) // the refusal ended nothing
		})
		w.post(guest, "/api/invitations/accept", second).requires(http.StatusOK)
	})
	t.Run("403 for an admin, of an owner's", func(t *testing.T) {
		w := w.in(t)
		admin := w.member(id, "admin")
		path, _ := w.invited(ann, id, address(), "owner")
		w.post(admin, path+"/resend", nil).refused(problem.Forbidden)
	})
	t.Run("429 for an organization that invites too many", func(t *testing.T) {
		w := w.in(t)
		w.invite(ann, id, address(), "member").requires(http.StatusCreated)
		w.invite(ann, id, address(), "member").refused(problem.RateLimited)
		w.invite(ann, w.organization(ann), address(), "member").requires(http.StatusCreated)
	})
}

// together runs all at once and waits for them.
func together(acts ...func()) {
	var all sync.WaitGroup
	for _, act := range acts {
		all.Go(act)
	}
	all.Wait()
}

func TestInvitationsThatAreAnsweredTwiceAtOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person()
	id := w.organization(ann)
	const accept = "/api/invitations/accept"
	for range 5 {
		guest := w.person()
		_, token := w.invited(ann, id, guest.email(), "member")
		answers := make([]answer, 4)
		acts := make([]func(), len(answers))
		for i := range answers {
			acts[i] = func() { answers[i] = w.post(guest, accept, token) }
		}
		together(acts...)
		for _, got := range answers {
			got.requires(http.StatusOK)
		}
		require.Len(t, w.get(ann, "/api/organizations/"+id+"/audit?actor="+guest.id).items(), 2)
	}
	for range 5 {
		guest := w.person()
		path, token := w.invited(ann, id, guest.email(), "member")
		var accepted, revoked answer
		together(
			func() { accepted = w.post(guest, accept, token) },
			func() { revoked = w.delete(ann, path) },
		)
		if member := w.get(ann, "/api/organizations/"+id+"/members/"+guest.id).status == http.StatusOK; member {
			accepted.requires(http.StatusOK)
			revoked.refused(problem.InvitationEnded)
			require.Equal(t, "accepted", w.get(ann, path).text("status"))
		} else {
			accepted.refused(problem.InvitationEnded)
			revoked.requires(http.StatusNoContent)
			require.Equal(t, "revoked", w.get(ann, path).text("status"))
		}
	}
}

func TestAnInvitationWaitsForTheMailServer(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.SMTP.Address = "127.0.0.1:1" })
	ann := w.person()
	id := w.organization(ann)
	email := address()
	path := w.invite(ann, id, email, "member").requires(http.StatusCreated).header.Get("Location")
	require.Eventually(t, func() bool {
		var failures int
		w.read(&failures, "SELECT coalesce(array_length(errors, 1), 0) FROM river_job WHERE kind = 'invitations.send'")
		return failures > 0
	}, time.Minute, 50*time.Millisecond)
	waiting := w.get(ann, path).requires(http.StatusOK)
	require.Equal(t, "open", waiting.text("status"))
	require.NotContains(t, waiting.json(), "sent_at")

	server := environment(t, "SMTP_ADDRESS")
	w.restart(func(s *settings) { s.SMTP.Address, s.SMTP.TLS = server, mail.None })
	token := w.mail(email, 1).token(t)
	require.Eventually(t, func() bool { return w.get(ann, path).text("sent_at") != "" }, time.Minute, 50*time.Millisecond)
	w.post(w.register(email, true, ""), "/api/invitations/accept", token).requires(http.StatusOK)
}

func TestAnInvitationsTokenIsInItsMailAlone(t *testing.T) {
	w := newWorld(t)
	ann, guest := w.person(), w.person()
	id := w.organization(ann)
	path, first := w.invited(ann, id, guest.email(), "member")
	w.post(ann, path+"/resend", nil).requires(http.StatusOK)
	second := w.mail(guest.email(), 2).token(t)
	w.post(w.person(), "/api/invitations/accept", second).refused(problem.InvitationForAnother)
	w.post(guest, "/api/invitations/preview", second).requires(http.StatusOK)
	w.post(guest, "/api/invitations/accept", second).requires(http.StatusOK)

	logged := w.logs.String()
	require.Contains(t, logged, "/api/invitations/accept")
	stored := w.everything()
	require.Contains(t, stored, "invitations.send")
	require.Contains(t, stored, "invitation.accept")
	for _, body := range []map[string]any{first, second} {
		token := body["token"].(string)
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		for _, secret := range []string{token, hex.EncodeToString(raw)} {
			require.NotContains(t, logged, secret)
			require.NotContains(t, stored, secret)
		}
	}
	hash := sha256.Sum256([]byte(second["token"].(string)))
	require.Contains(t, stored, hex.EncodeToString(hash[:]), "the test would find a token if there were one")
	require.NotContains(t, logged, hex.EncodeToString(hash[:]))
}

// everything is the text of every row of every table.
func (w *world) everything() string {
	w.t.Helper()
	connection, err := pgx.Connect(w.t.Context(), w.database.URL(w.t, ""))
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, connection.Close(context.Background())) }()
	rows, err := connection.Query(w.t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
	require.NoError(w.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(w.t, err)
	var out strings.Builder
	for _, table := range tables {
		var text string
		require.NoError(w.t, connection.QueryRow(w.t.Context(),
			"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM "+pgx.Identifier{table}.Sanitize()+" t").Scan(&text))
		out.WriteString(text + "\n")
	}
	return out.String()
}
