package envoy

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that Codec builds on
	"google.golang.org/grpc/mem"
)

// Checker answers Envoy's questions.
type Checker interface {
	Check(ctx context.Context, q *Question) (*Answer, error)
}

// Answer is a CheckResponse as it is sent.
type Answer struct{ wire []byte }

// Register makes c the server's ext_authz service. It takes the place of the generated function, which reads
// all of each message and encodes each anew. The server must use Codec; without it there is
// no answer, and so nothing passes.
func Register(s grpc.ServiceRegistrar, c Checker) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
		HandlerType: (*Checker)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
		Metadata:    authv3.Authorization_ServiceDesc.Metadata,
	}, c)
}

func check(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := &Question{}
	if err := decode(in); err != nil {
		return nil, err
	}
	answer := func(ctx context.Context, in any) (any, error) {
		return service.(Checker).Check(ctx, in.(*Question))
	}
	if interceptor == nil {
		return answer(ctx, in)
	}
	return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: service, FullMethod: authv3.Authorization_Check_FullMethodName}, answer)
}

// Codec is gRPC's own for protobuf, but for a Question, of which it reads what is needed, and for an Answer,
// which is written already.
type Codec struct{ encoding.CodecV2 }

// NewCodec returns the codec for grpc.ForceServerCodecV2.
func NewCodec() Codec { return Codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	if answer, ours := v.(*Answer); ours {
		return mem.BufferSlice{mem.SliceBuffer(answer.wire)}, nil // which nobody changes or pools
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	question, ours := v.(*Question)
	if !ours {
		return c.CodecV2.Unmarshal(data, v)
	}
	wire := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	return question.decode(wire.ReadOnlyData())
}
