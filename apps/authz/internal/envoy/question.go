package envoy

import (
	"errors"
	"unicode/utf8"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
)

// Question is the part of a CheckRequest that decisions read. A whole CheckRequest of a browser's request is
// a hundred small objects, which cost more to make than all that is decided about most requests.
type Question struct {
	asked        bool // there is an HTTP request
	method, host string
	path         string // with the query
	body         string
	rawBody      string
	fields       []field           // with encode_raw_headers: true, duplicates kept
	joined       map[string]string // without, duplicates joined with commas
	source       string            // the address of the socket
}

type field struct{ name, value string }

// NewQuestion takes the part out of a message.
func NewQuestion(in *authv3.CheckRequest) *Question {
	http := in.GetAttributes().GetRequest().GetHttp()
	q := &Question{
		asked: http != nil, method: http.GetMethod(), host: http.GetHost(), path: http.GetPath(),
		body: http.GetBody(), rawBody: string(http.GetRawBody()), joined: http.GetHeaders(),
		source: in.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(),
	}
	for _, sent := range http.GetHeaderMap().GetHeaders() {
		f := field{sent.GetKey(), sent.GetValue()}
		if raw := sent.GetRawValue(); len(raw) > 0 {
			f.value = string(raw)
		}
		q.fields = append(q.fields, f)
	}
	return q
}

// The numbers of the fields that are read, in envoy/service/auth/v3 and envoy/config/core/v3.
const (
	checkAttributes = 1

	attributesSource  = 1
	attributesRequest = 4

	peerAddress          = 1
	addressSocket        = 1 // one of these three
	addressPipe          = 2
	addressInternal      = 3
	socketAddressAddress = 2

	requestHTTP   = 2
	httpMethod    = 2
	httpHeaders   = 3
	httpPath      = 4
	httpHost      = 5
	httpBody      = 11
	httpRawBody   = 12
	httpHeaderMap = 13

	headerMapHeaders = 1
	headerKey        = 1 // also of an entry of httpHeaders
	headerValue      = 2
	headerRawValue   = 3
)

// decode reads an encoded CheckRequest as proto.Unmarshal and NewQuestion do together. Where a message may
// stand twice its parts are merged, and of a field that stands twice the last counts.
func (q *Question) decode(wire []byte) error {
	*q = Question{}
	return message{wire, string(wire)}.each(func(number protowire.Number, m message) error {
		if number != checkAttributes {
			return nil
		}
		return m.each(q.attributes)
	})
}

func (q *Question) attributes(number protowire.Number, m message) error {
	switch number {
	case attributesSource:
		return m.each(func(number protowire.Number, m message) error {
			if number != peerAddress {
				return nil
			}
			return m.each(q.address)
		})
	case attributesRequest:
		return m.each(func(number protowire.Number, m message) error {
			if number != requestHTTP {
				return nil
			}
			q.asked = true
			return m.each(q.http)
		})
	}
	return nil
}

func (q *Question) address(number protowire.Number, m message) error {
	switch number {
	case addressSocket:
		return m.each(func(number protowire.Number, m message) error {
			if number != socketAddressAddress {
				return nil
			}
			return m.read(&q.source)
		})
	case addressPipe, addressInternal:
		q.source = ""
	}
	return nil
}

func (q *Question) http(number protowire.Number, m message) error {
	switch number {
	case httpMethod:
		return m.read(&q.method)
	case httpPath:
		return m.read(&q.path)
	case httpHost:
		return m.read(&q.host)
	case httpBody:
		return m.read(&q.body)
	case httpRawBody:
		q.rawBody = m.text
	case httpHeaders:
		f, err := m.entry()
		if q.joined == nil {
			q.joined = map[string]string{}
		}
		q.joined[f.name] = f.value
		return err
	case httpHeaderMap:
		return m.each(func(number protowire.Number, m message) error {
			if number != headerMapHeaders {
				return nil
			}
			if q.fields == nil {
				q.fields = make([]field, 0, 32) // a browser sends some 20 and Envoy adds a few
			}
			f, err := m.field()
			q.fields = append(q.fields, f)
			return err
		})
	}
	return nil
}

// message is an encoded message, and the same as a string: what is read of it are parts of that one string.
type message struct {
	wire []byte
	text string
}

// each visits the fields that are strings, bytes or messages, and looks at no other but for its end.
func (m message) each(visit func(protowire.Number, message) error) error {
	for len(m.wire) > 0 {
		number, kind, size := protowire.ConsumeTag(m.wire)
		if size < 0 {
			return protowire.ParseError(size)
		}
		m = message{m.wire[size:], m.text[size:]}
		if kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(number, kind, m.wire); size < 0 {
				return protowire.ParseError(size)
			}
			m = message{m.wire[size:], m.text[size:]}
			continue
		}
		value, size := protowire.ConsumeBytes(m.wire)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := visit(number, message{value, m.text[size-len(value) : size]}); err != nil {
			return err
		}
		m = message{m.wire[size:], m.text[size:]}
	}
	return nil
}

var errNotUTF8 = errors.New("a string of the check is not UTF-8")

// read is for strings, which protobuf requires to be UTF-8.
func (m message) read(into *string) error {
	if !utf8.ValidString(m.text) {
		return errNotUTF8
	}
	*into = m.text
	return nil
}

// entry reads an entry of a map. Its fields have the same numbers as those of a HeaderValue, which has one more.
func (m message) entry() (f field, err error) {
	err = m.each(f.read)
	return f, err
}

// field reads a HeaderValue.
func (m message) field() (f field, err error) {
	var raw string
	err = m.each(func(number protowire.Number, m message) error {
		if number == headerRawValue {
			raw = m.text
			return nil
		}
		return f.read(number, m)
	})
	if raw != "" {
		f.value = raw
	}
	return f, err
}

func (f *field) read(number protowire.Number, m message) error {
	switch number {
	case headerKey:
		return m.read(&f.name)
	case headerValue:
		return m.read(&f.value)
	}
	return nil
}
