package converge

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/google/uuid"

	"gatehouse.internal/api/internal/permission"
)

// MaxMarks is how many marks a Consistency-Token holds at most. It is a header: 256 marks take up to 9 KB, one 25 bytes.
const MaxMarks = 256

// ErrToken says that a Consistency-Token is none of ours.
var ErrToken = errors.New("not a consistency token")

// tokenVersion is the first byte of a token. A mark is the number of its namespace, the UUID unless the namespace has one
// object, and the version as a varint.
const tokenVersion = 1

// numbered are the namespaces by their number in tokens. Add at the end only: tokens outlive a release.
var numbered = []permission.Namespace{permission.Platform, permission.Organization, permission.Gateway, permission.Product}

// Encode returns the Consistency-Token of marks: opaque, URL-safe text. It keeps the first MaxMarks: of a change to more
// objects than that, nobody can wait for the rest, which their jobs converge.
func Encode(marks []Mark) string {
	out := []byte{tokenVersion}
	for _, mark := range marks[:min(len(marks), MaxMarks)] {
		number := slices.Index(numbered, mark.Object.Namespace)
		if number < 0 {
			continue // no other namespace has rows
		}
		out = append(out, byte(number)) //nolint:gosec // there are four
		if mark.Object != permission.PlatformObject {
			id, err := uuid.Parse(mark.Object.ID)
			if err != nil {
				out = out[:len(out)-1]
				continue // no row has such an id
			}
			out = append(out, id[:]...)
		}
		out = binary.AppendUvarint(out, uint64(max(mark.Version, 0))) //nolint:gosec // not negative
	}
	return base64.RawURLEncoding.EncodeToString(out)
}

// Decode reads a Consistency-Token. Its error is ErrToken. A token grants nothing, but waiting for
// what it names tells that it exists: whoever takes one from outside must know that we gave it.
func Decode(token string) ([]Mark, error) {
	if len(token) > base64.RawURLEncoding.EncodedLen(1+MaxMarks*(1+16+binary.MaxVarintLen64)) {
		return nil, ErrToken
	}
	rest, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(rest) == 0 || rest[0] != tokenVersion {
		return nil, ErrToken
	}
	rest = rest[1:]
	var marks []Mark
	for len(rest) > 0 {
		var mark Mark
		if mark, rest, err = decodeMark(rest); err != nil {
			return nil, err
		}
		marks = append(marks, mark)
	}
	// One spelling per token: the decoder ignores line breaks, for one.
	if len(marks) == 0 || len(marks) > MaxMarks || Encode(marks) != token {
		return nil, ErrToken
	}
	return marks, nil
}

func decodeMark(from []byte) (Mark, []byte, error) {
	number, rest := int(from[0]), from[1:]
	if number >= len(numbered) {
		return Mark{}, nil, ErrToken
	}
	object := permission.PlatformObject
	if namespace := numbered[number]; namespace != permission.Platform {
		if len(rest) < 16 {
			return Mark{}, nil, ErrToken
		}
		object, rest = permission.Of(namespace, uuid.UUID(rest[:16])), rest[16:]
	}
	version, length := binary.Uvarint(rest)
	if length <= 0 || version == 0 || version > math.MaxInt64 {
		return Mark{}, nil, ErrToken
	}
	return Mark{object, int64(version)}, rest[length:], nil //nolint:gosec // checked above
}
