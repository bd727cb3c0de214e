//go:build integration

package suite

import (
	"fmt"
	"os"
	"testing"

	"gatehouse.internal/api/internal/databasetest"
)

func TestMain(m *testing.M) {
	databasetest.Run(m, func(passed bool) bool {
		missing := seen.missing()
		if !passed || testing.Short() || filtered() || len(missing) == 0 {
			return passed
		}
		fmt.Fprintln(os.Stderr, "promised by the document, and seen by no test:")
		for _, outcome := range missing {
			fmt.Fprintln(os.Stderr, " ", outcome)
		}
		return false
	})
}

// filtered tells whether only some tests were asked for.
func filtered() bool {
	for _, argument := range os.Args {
		if len(argument) > 10 && argument[:10] == "-test.run=" {
			return true
		}
	}
	return false
}
