package mutate_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// A value that is escaped with toJson cannot change a claim, and one that is not cannot replace one.
func FuzzValueReplacesNoClaim(f *testing.F) {
	for _, seed := range []string{"Ann", `x","type":"client`, `x","TYPE":"client`, "\xff", "\u2028", `\","type":"client","z":"`, `\u0022`} {
		f.Add(seed)
	}
	signer := newSigner(f)
	escaped := idToken(f, signer, `{"type":"user","name":{{ .Extra.name | toJson }}}`)
	quoted := idToken(f, signer, `{"type":"user","name":"{{ .Extra.name }}"}`)
	f.Fuzz(func(t *testing.T, name string) {
		s := session(map[string]any{"name": name})
		require.NoError(t, mutated(t, escaped, s))
		claims := minted(t, signer, s)
		require.Equal(t, "user", claims["type"])
		require.Len(t, claims, 8, "two of the template and six of ours")
		encoded, err := json.Marshal(name)
		require.NoError(t, err)
		var want string
		require.NoError(t, json.Unmarshal(encoded, &want))
		require.Equal(t, want, claims["name"])

		s = session(map[string]any{"name": name})
		if mutated(t, quoted, s) == nil {
			require.Equal(t, "user", minted(t, signer, s)["type"])
		}
	})
}
