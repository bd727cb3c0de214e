package invitations

import (
	"embed"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"gatehouse.internal/api/internal/invitations/row"
	"gatehouse.internal/api/internal/mail"
)

//go:embed texts
var texts embed.FS

// wording is how mails read in one language.
type wording struct {
	text  *texttemplate.Template // defines "subject" as well
	html  *htmltemplate.Template
	roles map[string]string
	date  string // a layout; times are in UTC, since nobody knows where the reader is
}

// wordings are the languages that there are: those of the identity schema.
var wordings = map[string]wording{
	"en": read("en", "2 January 2006, 15:04 MST", map[string]string{"owner": "an owner", "admin": "an admin", "member": "a member"}),
	"ko": read("ko", "2006년 1월 2일 15:04 MST", map[string]string{"owner": "소유자", "admin": "관리자", "member": "구성원"}),
}

const otherwise = "en"

func read(language, date string, roles map[string]string) wording {
	return wording{
		text:  texttemplate.Must(texttemplate.ParseFS(texts, "texts/"+language+".txt")),
		html:  htmltemplate.Must(htmltemplate.ParseFS(texts, "texts/"+language+".html")),
		roles: roles, date: date,
	}
}

// spoken is the language itself when mails are written in it.
func spoken(language string) string {
	if _, known := wordings[language]; known {
		return language
	}
	return otherwise
}

// content is what the templates know.
type content struct{ Organization, Inviter, Role, Expires, Link string }

// write words the mail of an invitation.
func write(i row.SetTokenRow, link string) (mail.Message, error) {
	language := spoken(i.Locale)
	words := wordings[language]
	about := content{
		Organization: name(i.Organization), Inviter: name(i.Inviter), Role: words.roles[i.Role],
		Expires: i.ExpiresAt.UTC().Truncate(time.Minute).Format(words.date), Link: link,
	}
	var subject, text, html strings.Builder
	if err := words.text.ExecuteTemplate(&subject, "subject", about); err != nil {
		return mail.Message{}, err
	}
	if err := words.text.Execute(&text, about); err != nil {
		return mail.Message{}, err
	}
	if err := words.html.Execute(&html, about); err != nil {
		return mail.Message{}, err
	}
	return mail.Message{To: i.Email, Subject: subject.String(), Language: language, Text: text.String(), HTML: html.String()}, nil
}

// longest is how much of a name a mail repeats, in characters.
const longest = 80

// name makes what somebody called themselves or their organization fit for the middle of a sentence: on one line, not so long
// that it is a text of its own, and read in the direction that it is written in.
func name(given string) string {
	given = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return ' '
		}
		return r
	}, given)
	given = strings.Join(strings.Fields(given), " ")
	if runes := []rune(given); len(runes) > longest {
		given = string(runes[:longest]) + "…"
	}
	return given
}
