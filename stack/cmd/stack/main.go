// Command stack is about the parts together: it renders their configuration, runs them natively, prepares
// their databases and seeds a demo. `make` and docker-compose.yml call it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}
