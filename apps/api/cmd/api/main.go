// Command api is the platform's API.
package main

import (
	"context"
	"fmt"
	"os"

	"gatehouse.internal/api/internal/app"
)

func main() {
	if err := app.Main(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}
