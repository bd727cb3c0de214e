package invitations

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/openapi"
)

func TestNobodyGivesMoreThanTheyHold(t *testing.T) {
	for held, given := range map[string][]string{
		"owner":  {"owner", "admin", "member"},
		"admin":  {"admin", "member"},
		"member": nil,
		"":       nil,
	} {
		for _, role := range []string{"owner", "admin", "member"} {
			allowed := false
			for _, one := range given {
				allowed = allowed || one == role
			}
			require.Equal(t, allowed, mayGive(held, role), "%q gives %q", held, role)
		}
	}
}

func TestAddressesAreTheSameInEitherCaseOfASCIIAndNoOther(t *testing.T) {
	require.True(t, sameAddress("Kim@Example.com", "kIM@eXAMPLE.COM"))
	require.False(t, sameAddress("\u212aim@example.com", "kim@example.com"), "the sign of the Kelvin is no k")
	require.False(t, sameAddress("kim@example.com", "kim@example.co"))
	require.False(t, sameAddress("", ""))
}

func TestStatus(t *testing.T) {
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before, after := end.Add(-time.Second), end.Add(time.Second)
	for name, c := range map[string]struct {
		invitation row.Invitation
		at         time.Time
		expected   openapi.InvitationStatus
	}{
		"before its end":          {row.Invitation{}, before, openapi.InvitationStatusOpen},
		"at its end":              {row.Invitation{}, end, openapi.InvitationStatusExpired},
		"accepted in time":        {row.Invitation{AcceptedAt: &before}, after, openapi.InvitationStatusAccepted},
		"declined in time":        {row.Invitation{DeclinedAt: &before}, after, openapi.InvitationStatusDeclined},
		"taken back in time":      {row.Invitation{RevokedAt: &before}, after, openapi.InvitationStatusRevoked},
		"taken back when expired": {row.Invitation{RevokedAt: &after}, after, openapi.InvitationStatusExpired},
	} {
		c.invitation.ExpiresAt = end
		require.Equal(t, c.expected, status(c.invitation, c.at), name)
	}
}

func TestATokenIsNotPrinted(t *testing.T) {
	secret := newToken()
	require.Len(t, string(secret), 43)
	require.NotEqual(t, secret, newToken())
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q"} {
		require.NotContains(t, fmt.Sprintf(verb, secret), string(secret), verb)
	}
}

func TestEveryLanguageSaysTheSame(t *testing.T) {
	invitation := row.SetTokenRow{
		Email: "bob@example.com", Role: "admin", Organization: "Acme & Söhne", Inviter: "Ann",
		ExpiresAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	for language, expected := range map[string][]string{
		"en": {"Acme & Söhne", "Ann invites you", "an admin", "1 March 2026, 12:00 UTC", "https://gatehouse.example/invitations#x"},
		"ko": {"Acme & Söhne", "Ann님이", "관리자", "2026년 3월 1일 12:00 UTC", "https://gatehouse.example/invitations#x"},
	} {
		invitation.Locale = language
		written, err := write(invitation, "https://gatehouse.example/invitations#x")
		require.NoError(t, err)
		require.Equal(t, language, written.Language)
		require.Contains(t, written.Subject, "Acme & Söhne")
		require.NotContains(t, written.Subject, "\n")
		require.Contains(t, written.HTML, `<html lang="`+language+`">`)
		require.Contains(t, written.HTML, "Acme &amp; Söhne")
		for _, part := range expected {
			require.Contains(t, written.Text, part)
		}
	}
	invitation.Locale, invitation.Inviter = "fr", ""
	written, err := write(invitation, "https://gatehouse.example/invitations#x")
	require.NoError(t, err)
	require.Equal(t, "en", written.Language)
	require.Equal(t, "You are invited to join Acme & Söhne on Gatehouse", written.Subject)
}

func TestNamesInMails(t *testing.T) {
	require.Equal(t, "Acme Bcc: x", name(" Acme\r\n\u2028Bcc: x\t"))
	require.Equal(t, "Acme moc.live", name("Acme \u202emoc.live\u2066"))
	require.Equal(t, strings.Repeat("가", longest)+"…", name(strings.Repeat("가", longest+1)))
}

func TestSettings(t *testing.T) {
	require.NoError(t, Defaults().Verify())
	err := Settings{Lifetime: time.Hour * 24 * 365}.Verify()
	for _, key := range []string{"invitations.lifetime", "invitations.mails_per_invitation", "invitations.mails_per_organization"} {
		require.ErrorContains(t, err, key+":")
	}
}
