package mail_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse.internal/api/internal/mail"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func settings(address string) mail.Settings {
	s := mail.Defaults()
	s.Address, s.TLS, s.From = address, mail.None, "Gatehouse <no-reply@gatehouse.example>"
	return s
}

// server is an SMTP server that takes everything except for one command.
type server struct {
	address string
	heard   chan []string // every line of the conversation
}

func serve(t *testing.T, command, verdict string) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := server{listener.Addr().String(), make(chan []string, 1)}
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		s.heard <- converse(connection, command, verdict)
	}()
	return s
}

func converse(connection net.Conn, command, verdict string) (heard []string) {
	say := func(text string) { _, _ = fmt.Fprintf(connection, "%s\r\n", text) }
	say("220 ready")
	data := false
	for lines := bufio.NewScanner(connection); lines.Scan(); {
		line := lines.Text()
		heard = append(heard, line)
		switch {
		case data && line != ".":
		case strings.HasPrefix(line, command):
			data = false
			say(verdict)
		case strings.HasPrefix(line, "EHLO"):
			say("250 hello") // and no STARTTLS
		case line == "DATA":
			data = true
			say("354 go on")
		case line == "QUIT":
			say("221 bye")
			return heard
		case line == ".":
			data = false
			say("250 taken")
		default:
			say("250 ok")
		}
	}
	return heard
}

func message(subject string) mail.Message {
	return mail.Message{To: "bob@example.com", Subject: subject, Language: "en", Text: "the secret", HTML: "<p>the secret</p>"}
}

func send(t *testing.T, s mail.Settings, m mail.Message) error {
	t.Helper()
	sender, err := mail.NewSMTP(s, func() time.Time { return now })
	require.NoError(t, err)
	return sender.Send(t.Context(), m)
}

func TestAMessageHasTheHeadersThatWeGiveItAndNoOther(t *testing.T) {
	for _, breaking := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\r\n\r\n"} {
		s := serve(t, ".", "250 taken")
		require.NoError(t, send(t, settings(s.address), message("Hello"+breaking+"Bcc: eve@example.com")))

		heard := <-s.heard
		var recipients, headers []string
		inHeader := false
		for _, line := range heard {
			switch {
			case strings.HasPrefix(line, "RCPT TO"):
				recipients = append(recipients, line)
			case line == "DATA":
				inHeader = true
			case line == "":
				inHeader = false
			case inHeader && !strings.HasPrefix(line, " "):
				name, _, _ := strings.Cut(line, ":")
				headers = append(headers, name)
			}
		}
		require.Equal(t, []string{"RCPT TO:<bob@example.com>"}, recipients)
		require.NotContains(t, headers, "Bcc", "%q", breaking)
		all := strings.Join(heard, "\n")
		require.Contains(t, all, "Date: Sun, 01 Mar 2026 12:00:00 +0000")
		require.Contains(t, all, "Auto-Submitted: auto-generated")
		require.Regexp(t, `Message-ID: <[0-9a-f-]{36}@gatehouse\.example>`, all)
	}
}

func TestARefusalDoesNotRepeatTheMessage(t *testing.T) {
	for _, c := range []struct {
		command, verdict string
		expected         mail.Refused
	}{
		{".", "554 5.7.1 spam: the secret", mail.Refused{Code: 554, Permanent: true}},
		{".", "451 4.7.1 later: the secret", mail.Refused{Code: 451}},
		{"RCPT", "550 no bob@example.com here", mail.Refused{Code: 550, Permanent: true}},
		{"RCPT", "450 bob@example.com is busy", mail.Refused{Code: 450}},
		{"MAIL", "530 who are you, Gatehouse?", mail.Refused{Code: 530}}, // which is about us and not about the message
	} {
		s := serve(t, c.command, c.verdict)
		err := send(t, settings(s.address), message("Hello"))
		var refused *mail.Refused
		require.ErrorAs(t, err, &refused, c.verdict)
		require.Equal(t, c.expected, *refused, c.verdict)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "bob")
		<-s.heard
	}
}

func TestAServerWithoutTLSHearsNothing(t *testing.T) {
	s := serve(t, ".", "250 taken")
	demanding := settings(s.address)
	demanding.TLS = mail.StartTLS
	require.Error(t, send(t, demanding, message("Hello")))
	for _, line := range <-s.heard {
		require.NotContains(t, line, "MAIL FROM")
	}
}

func TestAnOutageIsNoRefusal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	err = send(t, settings(address), message("Hello"))
	require.Error(t, err)
	var refused *mail.Refused
	require.NotErrorAs(t, err, &refused)
}

func TestWhatIsNotOneAddressIsNotSent(t *testing.T) {
	for _, to := range []string{"", "bob", "Bob <bob@example.com>", "bob@example.com, eve@example.com", "bob@example.com\r\nRCPT TO:<eve@example.com>"} {
		m := message("Hello")
		m.To = to
		var refused *mail.Refused
		require.ErrorAs(t, send(t, settings("127.0.0.1:1"), m), &refused, to)
		require.True(t, refused.Permanent)
	}
}

func TestUnsafeSettingsAreRefused(t *testing.T) {
	require.NoError(t, settings("127.0.0.1:25").Verify())
	for name, change := range map[string]func(*mail.Settings){
		"smtp.address":                func(s *mail.Settings) { s.Address = "mail.example" },
		"smtp.address without a host": func(s *mail.Settings) { s.Address = ":25" },
		"smtp.address port":           func(s *mail.Settings) { s.Address = "mail.example:0" },
		"smtp.tls":                    func(s *mail.Settings) { s.TLS = "" },
		"smtp.tls with a password":    func(s *mail.Settings) { s.Username, s.Password = "gatehouse", "hunter2" },
		"smtp.username":               func(s *mail.Settings) { s.TLS, s.Password = mail.Implicit, "hunter2" },
		"smtp.from":                   func(s *mail.Settings) { s.From = "a@example.com\r\nBcc: b@example.com" },
		"smtp.timeout":                func(s *mail.Settings) { s.Timeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings("127.0.0.1:25")
			change(&s)
			key, _, _ := strings.Cut(name, " ")
			err := s.Verify()
			require.ErrorContains(t, err, key+":")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
