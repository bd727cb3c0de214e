// Command authz is an Envoy ext_authz server that decides from Ory Oathkeeper's rules.
package main

import (
	"context"
	"os"

	"gatehouse.internal/authz/internal/command"
)

func main() {
	os.Exit(command.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
