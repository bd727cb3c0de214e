package envoy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse.internal/authz/internal/engine"
)

// full is a check with all that Envoy sends and more.
func full() *authv3.CheckRequest {
	address := func(ip string) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Protocol: corev3.SocketAddress_UDP, Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}, ResolverName: "r",
		}}}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: address("192.0.2.1"), Service: "s", Labels: map[string]string{"a": "b"}, Principal: "p"},
		Destination: &authv3.AttributeContext_Peer{Address: address("192.0.2.2")},
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1, Nanos: 2},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1", Method: "POST", Path: "/a?b=c", Host: "h.example", Scheme: "gopher", Query: "q", Fragment: "f", Size: 7, Protocol: "HTTP/2",
				Body: "body", RawBody: []byte("raw\xff"), Headers: map[string]string{"x-a": "1"},
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: "x-forwarded-proto", RawValue: []byte("https")}, {Key: "x-raw", RawValue: []byte("\xff")},
					{Key: "x-text", Value: "text"}, {Key: "x-both", Value: "text", RawValue: []byte("raw")}, {Key: "x-none"}, {Key: "x-text", Value: "2"},
				}},
			},
		},
		ContextExtensions: map[string]string{"c": "d"},
		TlsSession:        &authv3.AttributeContext_TLSSession{Sni: "sni"},
	}}
}

// requireReadAlike compares what is read of an encoded check in service with what the whole message says.
func requireReadAlike(t *testing.T, wire []byte) {
	t.Helper()
	var q Question
	refused := q.decode(wire) // before anything else: it must stand whatever it is sent
	var whole authv3.CheckRequest
	if proto.Unmarshal(wire, &whole) != nil {
		return // then to refuse it, or to read what is needed of it, are both right
	}
	require.NoError(t, refused)
	want := NewQuestion(&whole)
	if len(want.joined) == 0 {
		want.joined = nil
	}
	require.Equal(t, *want, q)
}

func TestQuestionIsReadAsTheWholeMessageWouldBe(t *testing.T) {
	wire, err := proto.Marshal(full())
	require.NoError(t, err)
	requireReadAlike(t, wire)
	var q Question
	require.NoError(t, q.decode(wire))
	require.Equal(t, "192.0.2.1", q.source)
	require.Equal(t, "/a?b=c", q.path)
	require.Len(t, q.fields, 6)
	r, err := q.Request()
	require.NoError(t, err)
	require.Equal(t, []string{"text", "2"}, r.Header["X-Text"])
	require.Equal(t, "raw\xff", string(r.Body))

	// A message that comes in parts is merged, a field that comes twice counts as it comes last.
	again := full()
	again.Attributes.Request.Http = &authv3.AttributeContext_HttpRequest{Path: "/other", HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "x-more"}}}}
	again.Attributes.Source.Address.Address = &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/socket"}}
	more, err := proto.Marshal(again)
	require.NoError(t, err)
	requireReadAlike(t, append(wire, more...))
	requireReadAlike(t, append(more, wire...))
}

// An entry of a map has no third field: what stands there is skipped like all that a later version may add.
func TestEntryOfHeadersHasNoRawValue(t *testing.T) {
	var entry []byte
	for number, text := range []string{headerKey: "x-user-id", headerValue: "u-1", headerRawValue: "root"} {
		if number > 0 {
			entry = protowire.AppendString(protowire.AppendTag(entry, protowire.Number(number), protowire.BytesType), text) // #nosec G115 -- at most 3
		}
	}
	wire := entry
	for _, number := range []protowire.Number{httpHeaders, requestHTTP, attributesRequest, checkAttributes} {
		wire = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), wire)
	}
	requireReadAlike(t, wire)
}

// In a message of a caller's choice: whatever gRPC's own reading takes, this one takes for the same.
func FuzzQuestion(f *testing.F) {
	wire, err := proto.Marshal(full())
	require.NoError(f, err)
	f.Add(wire)
	f.Add(append(wire[:len(wire):len(wire)], wire...))
	f.Add([]byte{})
	f.Fuzz(requireReadAlike)
}

// The numbers are written down once more here by those who maintain the protocol.
func TestFieldNumbersAreTheProtocols(t *testing.T) {
	for message, fields := range map[proto.Message]map[string]int{
		&authv3.CheckRequest{}:                 {"attributes": checkAttributes},
		&authv3.AttributeContext{}:             {"source": attributesSource, "request": attributesRequest},
		&authv3.AttributeContext_Peer{}:        {"address": peerAddress},
		&authv3.AttributeContext_Request{}:     {"http": requestHTTP},
		&authv3.AttributeContext_HttpRequest{}: {"method": httpMethod, "headers": httpHeaders, "path": httpPath, "host": httpHost, "body": httpBody, "raw_body": httpRawBody, "header_map": httpHeaderMap},
		&corev3.Address{}:                      {"socket_address": addressSocket, "pipe": addressPipe, "envoy_internal_address": addressInternal},
		&corev3.SocketAddress{}:                {"address": socketAddressAddress},
		&corev3.HeaderMap{}:                    {"headers": headerMapHeaders},
		&corev3.HeaderValue{}:                  {"key": headerKey, "value": headerValue, "raw_value": headerRawValue},
	} {
		known := message.ProtoReflect().Descriptor().Fields()
		for name, number := range fields {
			for i := range known.Len() {
				if string(known.Get(i).Name()) == name {
					require.EqualValues(t, known.Get(i).Number(), number, name)
					number = 0
				}
			}
			require.Zero(t, number, "%s has no %s", reflect.TypeOf(message), name)
		}
	}
	require.Equal(t, 3, (&corev3.Address{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len(), "another kind of address")
}

func TestMalformedCheckIsNotRead(t *testing.T) {
	wire, err := proto.Marshal(full())
	require.NoError(t, err)
	var q Question
	require.Error(t, q.decode(wire[:len(wire)-1]))
	notText, err := proto.MarshalOptions{}.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Path: "/xyz"}}}})
	require.NoError(t, err)
	require.Error(t, q.decode([]byte(strings.Replace(string(notText), "xyz", "x\xffz", 1))))
}

func TestCodecReadsAndWritesOtherMessagesToo(t *testing.T) {
	codec := NewCodec()
	require.Equal(t, "proto", codec.Name())
	wire, err := codec.Marshal(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING})
	require.NoError(t, err)
	var read healthv1.HealthCheckResponse
	require.NoError(t, codec.Unmarshal(wire, &read))
	require.Equal(t, healthv1.HealthCheckResponse_SERVING, read.GetStatus())
	_, err = codec.Marshal("text")
	require.Error(t, err)
}

func TestDecisionThatIsMadeAgainIsWrittenOnce(t *testing.T) {
	d := engine.Decision{Outcome: engine.Allowed, Set: map[string][]string{"X-User-Id": {"u-1"}}, Remove: []string{"X-Scopes"}, Rendering: &engine.Rendering{}}
	first, err := Write(d)
	require.NoError(t, err)
	again, err := Write(d)
	require.NoError(t, err)
	require.Same(t, &first.wire[0], &again.wire[0])
	d.Rendering = nil
	other, err := Write(d)
	require.NoError(t, err)

	want, err := Render(d)
	require.NoError(t, err)
	for _, answer := range []*Answer{first, other} {
		sent, err := NewCodec().Marshal(answer)
		require.NoError(t, err)
		var got authv3.CheckResponse
		require.NoError(t, proto.Unmarshal(sent.Materialize(), &got))
		require.True(t, proto.Equal(want, &got))
	}
}

func TestFailureIsNotWritten(t *testing.T) {
	for _, d := range []engine.Decision{{}, {Rendering: &engine.Rendering{}}} {
		for range 2 {
			answer, err := Write(d)
			require.Error(t, err)
			require.Nil(t, answer)
		}
	}
}

func BenchmarkQuestion(b *testing.B) {
	in := full()
	for i := range 16 {
		in.Attributes.Request.Http.HeaderMap.Headers = append(in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders(),
			&corev3.HeaderValue{Key: fmt.Sprintf("x-%d", i), RawValue: []byte(strings.Repeat("x", 40))})
	}
	wire, err := proto.Marshal(in)
	require.NoError(b, err)
	codec, data := NewCodec(), mem.BufferSlice{mem.SliceBuffer(wire)}
	b.Run("what is needed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var q Question
			if err := codec.Unmarshal(data, &q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var in authv3.CheckRequest
			if err := codec.Unmarshal(data, &in); err != nil {
				b.Fatal(err)
			}
			NewQuestion(&in)
		}
	})
}
