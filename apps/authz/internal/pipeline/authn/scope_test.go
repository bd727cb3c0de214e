package authn

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScopeStrategies(t *testing.T) {
	for _, c := range []struct {
		strategy, granted, required string
		want                        bool
	}{
		{"exact", "photos", "photos", true},
		{"exact", "photos", "photos.read", false},
		{"exact", "photos.*", "photos.read", false},
		{"hierarchic", "photos", "photos", true},
		{"hierarchic", "photos", "photos.read.all", true},
		{"hierarchic", "photos.read", "photos", false},
		{"hierarchic", "photo", "photos", false},
		{"hierarchic", "", "photos", false},
		{"wildcard", "photos.*", "photos.read", true},
		{"wildcard", "photos.*", "photos.read.all", true},
		{"wildcard", "photos.*", "photos", false},
		{"wildcard", "photos.*", "photos.", false},
		{"wildcard", "*.read", "photos.read", true},
		{"wildcard", "*.read", "photos.write", false},
		{"wildcard", "photos", "photos.read", false},
		{"wildcard", "photos", "photos", true},
		{"wildcard", "*", "anything.at.all", true},
	} {
		strategy, err := newScopeStrategy(c.strategy)
		require.NoError(t, err)
		require.Equal(t, c.want, strategy([]string{"other", c.granted}, c.required), "%+v", c)
	}
	none, err := newScopeStrategy("none")
	require.NoError(t, err)
	require.Nil(t, none)
	_, err = newScopeStrategy("fuzzy")
	require.Error(t, err)
}
