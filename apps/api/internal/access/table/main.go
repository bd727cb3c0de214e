// Command table writes docs/routes.md: every operation of the OpenAPI document, and who may run it. It reads what the service
// itself reads, so the table cannot say anything else than what is enforced.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	document "gatehouse.internal/api/openapi"

	"gatehouse.internal/api/internal/access"
	"gatehouse.internal/api/internal/permission"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func write(file string) error {
	doc, err := openapi3.NewLoader().LoadFromData(document.Document)
	if err != nil {
		return err
	}
	text, err := table(doc)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644) // #nosec G306 -- a document
}

const heading = `# Who may do what

Generated from ` + "`x-access`" + ` in ` + "`apps/api/openapi/openapi.yaml`" + `, which is what the API enforces. Do not edit: run ` + "`make generate`" + `.

- **Permit** is asked of Keto about the object in the path. **Scope** is what an access token or an API key must carry besides;
  a signed-in person needs none. *Session only*: no token and no key, whatever its scopes.
- **Asked twice**: the rows in Postgres must say so too, so that a right which was taken away is gone at once.
- An owner or admin of an organization is that on its gateways and their products too, a plain member is a viewer there. Clients and
  API keys of an organization have what they were granted on a gateway, and no role in the organization.
- Who may not even view an object is answered 404 for it, others 403. What else an operation demands (nobody gives a role above their
  own, the last owner stays) stands in its description.

`

// table is the whole document. Operations stand in the order of their paths and methods.
func table(doc *openapi3.T) (string, error) {
	rules, err := access.Read(doc)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(heading)
	out.WriteString("| operation | request | permit | who has it | scope | asked twice |\n|---|---|---|---|---|---|\n")
	paths := doc.Paths.Keys()
	slices.Sort(paths)
	for _, path := range paths {
		operations := doc.Paths.Value(path).Operations()
		methods := make([]string, 0, len(operations))
		for method := range operations {
			methods = append(methods, method)
		}
		slices.Sort(methods)
		for _, method := range methods {
			id := operations[method].OperationID
			fmt.Fprintf(&out, "| `%s` | `%s %s` %s |\n", id, method, path, cells(rules[id]))
		}
	}
	fmt.Fprintf(&out, "\nScopes: `%s`.\n", strings.Join(rules.Scopes(), "`, `"))
	return out.String(), nil
}

// cells are the columns that the rule fills.
func cells(rule access.Rule) string {
	permit, who := "", "any caller, about itself"
	switch {
	case rule.Anyone:
		who = "everybody, without a credential"
	case rule.Permit != "":
		permit, who = "`"+rule.Permit+"`", holders(rule.Permit)
	}
	scope := ""
	switch {
	case rule.Sensitive:
		scope = "*session only*"
	case rule.Scope != "":
		scope = "`" + rule.Scope + "`"
	}
	twice := ""
	if rule.Confirm {
		twice = "yes"
	}
	return strings.TrimRight(fmt.Sprintf("| %s | %s | %s | %s", permit, who, scope, twice), " ")
}

// holders names the roles with a permit.
func holders(text string) string {
	namespace, permit, _ := strings.Cut(text, ".")
	var roles []string
	for _, role := range permission.RolesWith(permission.Namespace(namespace), permission.Permit(permit)) {
		roles = append(roles, string(role))
	}
	of := map[permission.Namespace]string{
		permission.Platform: "platform", permission.Organization: "organization", permission.Gateway: "gateway", permission.Product: "gateway",
	}[permission.Namespace(namespace)]
	out := of + " " + strings.Join(roles, ", ")
	if text == "Product.view" {
		out += "; of a private one no viewer"
	}
	return out
}
