// Package mail hands messages to an SMTP server. It is the only importer of go-mail. Nothing that it is given can become a
// header of its own, and none of its errors repeats what was in a message: a server that refuses one may quote it, and mails
// hold secrets that logs must not.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"

	"gatehouse.internal/libs/config"
)

// How the connection to the server is protected.
const (
	StartTLS = "starttls" // the server must offer it
	Implicit = "implicit" // TLS from the first byte
	None     = "none"     // a server on the same machine or network; never with a password
)

// Settings say which server takes the mail, and who it is from.
type Settings struct {
	Address string `mapstructure:"address"` // host:port
	TLS     string `mapstructure:"tls"`
	// Username and Password may both be empty.
	Username string        `mapstructure:"username"`
	Password config.Secret `mapstructure:"password"`
	// From is an address, with a name or without: "Gatehouse <no-reply@gatehouse.example>".
	From string `mapstructure:"from"`
	// Timeout bounds the conversation about one message.
	Timeout time.Duration `mapstructure:"timeout"`
}

// Defaults are what need not be said.
func Defaults() Settings { return Settings{TLS: StartTLS, Timeout: 10 * time.Second} }

// Verify reports every problem at once.
func (s Settings) Verify() error {
	var problems []error
	if _, _, err := s.server(); err != nil {
		problems = append(problems, errors.New("smtp.address: must be host:port"))
	}
	if s.TLS != StartTLS && s.TLS != Implicit && s.TLS != None {
		problems = append(problems, errors.New("smtp.tls: must be starttls, implicit or none"))
	}
	if s.TLS == None && s.Password != "" {
		problems = append(problems, errors.New("smtp.tls: none would show the password to everybody on the way"))
	}
	if (s.Username == "") != (s.Password == "") {
		problems = append(problems, errors.New("smtp.username: goes with smtp.password"))
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		problems = append(problems, errors.New("smtp.from: must be an address"))
	}
	if s.Timeout <= 0 {
		problems = append(problems, errors.New("smtp.timeout: must be positive"))
	}
	return errors.Join(problems...)
}

func (s Settings) server() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(s.Address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err == nil && (host == "" || port < 1 || port > 65535) {
		err = errors.New("no host or no port")
	}
	return host, port, err
}

// Message is one mail to one address.
type Message struct {
	To      string
	Subject string
	// Language is the text's, as BCP 47 names it.
	Language string
	// Text and HTML say the same.
	Text, HTML string
}

// Sender sends mail.
type Sender interface {
	// Send returns when the server has taken the message. *Refused is its refusal; any other error an outage.
	Send(ctx context.Context, m Message) error
}

// Refused says that the server did not take a message, without its words.
type Refused struct {
	// Code is SMTP's (RFC 5321, section 4.2), 0 when the message was not fit to be sent.
	Code int
	// Permanent refusals are of this message or its address, and come again however often one tries. A server that will
	// not talk to us at all is one that somebody has yet to set up.
	Permanent bool
}

func (r *Refused) Error() string {
	return fmt.Sprintf("the mail server refused the message: %d", r.Code)
}

// SMTP is the server of the settings.
type SMTP struct {
	settings Settings
	from     *mail.Address
	now      func() time.Time
}

// NewSMTP returns a sender to the server of s. It connects for each message.
func NewSMTP(s Settings, now func() time.Time) (*SMTP, error) {
	if err := s.Verify(); err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(s.From)
	return &SMTP{settings: s, from: from, now: now}, err
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	message, err := s.compose(m)
	if err != nil {
		return &Refused{Permanent: true}
	}
	var open net.Conn
	client, err := s.client(func(connection net.Conn) { open = connection })
	if err != nil {
		return err
	}
	// go-mail leaves a connection open whose server it does not get on with.
	defer func() {
		if open != nil {
			_ = open.Close()
		}
	}()
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	if err := client.SendWithSMTPClient(connection, message); err != nil {
		return refusal(err)
	}
	// The message is the server's by now: how the conversation ends changes nothing.
	_ = client.CloseWithSMTPClient(connection)
	return nil
}

// client returns a client for one conversation, which tells of the connection that it has made.
func (s *SMTP) client(opened func(net.Conn)) (*gomail.Client, error) {
	host, port, err := s.settings.server()
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	dial := (&net.Dialer{}).DialContext
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(s.settings.Timeout), gomail.WithTLSConfig(secure)}
	switch s.settings.TLS {
	case Implicit:
		dial = (&tls.Dialer{Config: secure}).DialContext
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.settings.Username != "" { // over TLS, as Verify sees to; every server must take PLAIN then (RFC 4954, section 4)
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthPlain),
			gomail.WithUsername(s.settings.Username), gomail.WithPassword(s.settings.Password.Reveal()))
	}
	options = append(options, gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := dial(ctx, network, address)
		if err == nil {
			opened(connection)
		}
		return connection, err
	}))
	return gomail.NewClient(host, options...)
}

func (s *SMTP) compose(m Message) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(m.To)
	if err != nil || to.Address != m.To {
		return nil, errors.New("not one plain address")
	}
	out := gomail.NewMsg()
	out.FromMailAddress(s.from)
	out.ToMailAddress(to)
	out.Subject(line(m.Subject))
	out.SetDateWithValue(s.now())
	_, domain, _ := strings.Cut(s.from.Address, "@")
	out.SetMessageIDWithValue(uuid.NewString() + "@" + domain)
	// RFC 3834: nobody's absence note answers it.
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetGenHeader(gomail.HeaderContentLang, line(m.Language))
	out.SetBodyString(gomail.TypeTextPlain, m.Text)
	out.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return out, nil
}

// line is text on one line. The library encodes what is no plain text in a header; that nothing breaks out of one does
// not rest on that alone.
func line(text string) string { return strings.Join(strings.FieldsFunc(text, breaks), " ") }

func breaks(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }

func refusal(err error) error {
	if refused, ok := errors.AsType[*gomail.SendError](err); ok {
		ours := refused.Reason == gomail.ErrSMTPRcptTo || refused.Reason == gomail.ErrSMTPDataClose
		return &Refused{Code: refused.ErrorCode(), Permanent: ours && refused.ErrorCode() >= 500}
	}
	return &Refused{}
}
