package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/stack/internal/database"
	"gatehouse.internal/stack/internal/demo"
	"gatehouse.internal/stack/internal/native"
	"gatehouse.internal/stack/internal/opl"
	"gatehouse.internal/stack/internal/render"
	"gatehouse.internal/stack/internal/secrets"
	"gatehouse.internal/stack/internal/settings"
	"gatehouse.internal/stack/internal/topology"
)

// place is where a stack's files are and how its parts are reached: natively an instance's folder, in compose
// the volumes of the one-shot services.
type place struct {
	root, instance string
	compose        bool
}

// Folders of the one-shot services in docker-compose.yml.
const (
	volumes = "/var/lib/gatehouse"
	// composeDir is where each service sees its own configuration volume.
	composeDir = "/etc/gatehouse"
)

func (p *place) native() (native.Instance, error) { return native.New(p.root, p.instance) }

func (p *place) layout() (topology.Layout, error) {
	if p.compose {
		return topology.Compose(), nil
	}
	instance, err := p.native()
	if err != nil {
		return topology.Layout{}, err
	}
	return instance.Layout()
}

func (p *place) secretsFile() string {
	if p.compose {
		return filepath.Join(volumes, "secrets", "secrets.json")
	}
	return native.Instance{Root: p.root, Name: p.instance}.SecretsFile()
}

func (p *place) demoFile() string {
	if p.compose {
		return filepath.Join(volumes, "demo", "demo.json")
	}
	return native.Instance{Root: p.root, Name: p.instance}.DemoFile()
}

func (p *place) configDir() string {
	if p.compose {
		return filepath.Join(volumes, "config")
	}
	return native.Instance{Root: p.root, Name: p.instance}.ConfigDir()
}

func (p *place) server() (database.Server, secrets.Secrets, error) {
	layout, err := p.layout()
	if err != nil {
		return database.Server{}, nil, err
	}
	address, err := layout.Address("postgres")
	if err != nil {
		return database.Server{}, nil, err
	}
	all, err := secrets.Ensure(p.secretsFile())
	return database.Server{Address: address, Password: all["postgres"]}, all, err
}

func command() *cobra.Command {
	p := &place{}
	root := &cobra.Command{
		Use:           "stack",
		Short:         "Runs and prepares the parts of Gatehouse together",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			p.root, err = filepath.Abs(p.root)
			return err
		},
	}
	root.PersistentFlags().StringVar(&p.root, "root", ".", "the repository")
	root.PersistentFlags().StringVar(&p.instance, "instance", native.Default, "name of the native instance")
	root.PersistentFlags().BoolVar(&p.compose, "compose", false, "inside docker compose: files in volumes, services by name")
	root.AddCommand(nativeCommands(p)...)
	root.AddCommand(demoCommand(p), testEnvironmentCommand(p), renderCommand(p), databaseCommand(p), postgresCommand(p), oplCommand(p), seedCommand(p), fetchCommand())
	return root
}

// nativeCommands are those of the Makefile.
func nativeCommands(p *place) []*cobra.Command {
	on := func(use, short string, arguments cobra.PositionalArgs, do func(context.Context, native.Instance, io.Writer, []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: arguments, RunE: func(c *cobra.Command, names []string) error {
			instance, err := p.native()
			if err != nil {
				return err
			}
			return do(c.Context(), instance, c.OutOrStdout(), names)
		}}
	}
	var development, yes bool
	up := on("up", "Start the native stack and wait until it is ready", cobra.NoArgs,
		func(ctx context.Context, i native.Instance, out io.Writer, _ []string) error {
			return i.Up(ctx, out, development)
		})
	up.Flags().BoolVar(&development, "dev", false, "next dev, and Go services rebuilt on change")
	reset := on("reset", "Stop the native stack and delete its data, secrets and logs", cobra.NoArgs,
		func(ctx context.Context, i native.Instance, out io.Writer, _ []string) error {
			if !yes && !confirmed(out, i.Dir()) {
				return errors.New("nothing was deleted")
			}
			return i.Reset(ctx, out)
		})
	reset.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return []*cobra.Command{
		up, reset,
		on("down", "Stop the native stack", cobra.NoArgs,
			func(ctx context.Context, i native.Instance, out io.Writer, _ []string) error { return i.Down(ctx, out) }),
		on("status", "Show the state of every process", cobra.NoArgs,
			func(ctx context.Context, i native.Instance, out io.Writer, _ []string) error {
				return i.Status(ctx, out)
			}),
		on("logs [PROCESS...]", "Follow logs", cobra.ArbitraryArgs,
			func(ctx context.Context, i native.Instance, out io.Writer, names []string) error {
				return i.Logs(ctx, out, names)
			}),
		on("tool NAME", "Print the path of a pinned program, installing it first", cobra.ExactArgs(1),
			func(ctx context.Context, i native.Instance, out io.Writer, names []string) error {
				path, err := i.Tool(ctx, os.Stderr, names[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(out, path)
				return err
			}),
		on("stop PROCESS", "Stop one process of a running stack", cobra.ExactArgs(1),
			func(ctx context.Context, i native.Instance, _ io.Writer, names []string) error {
				return i.Stop(ctx, names[0])
			}),
		on("start PROCESS", "Start one process of a running stack again", cobra.ExactArgs(1),
			func(ctx context.Context, i native.Instance, _ io.Writer, names []string) error {
				return i.Start(ctx, names[0])
			}),
	}
}

func confirmed(out io.Writer, dir string) bool {
	_, _ = fmt.Fprintf(out, "This deletes every account, token and secret in %s. Type yes to go on: ", dir)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && strings.TrimSpace(answer) == "yes"
}

func demoCommand(p *place) *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Print the demo's credentials as KEY=value lines", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := demo.Read(p.demoFile())
			if err != nil {
				return fmt.Errorf("there is no demo here: %w", err)
			}
			lines := []string{"PUBLIC_URL=" + d.PublicURL}
			if !p.compose { // there the API's port is on no host port
				layout, err := p.layout()
				if err != nil {
					return err
				}
				api, err := layout.URL("api")
				if err != nil {
					return err
				}
				lines = append(lines, "API_URL="+api)
			}
			lines = append(lines, "DEMO_EMAIL="+d.Email, "DEMO_PASSWORD="+d.Password, "DEMO_CLIENT_ID="+d.ClientID, "DEMO_CLIENT_SECRET="+d.ClientSecret)
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(lines, "\n"))
			return err
		}}
}

// testEnvironmentCommand prints where a native stack's inner parts are, for the services' integration tests.
func testEnvironmentCommand(p *place) *cobra.Command {
	return &cobra.Command{Use: "test-environment", Short: "Print the inner addresses of a native stack as KEY=value lines", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			layout, err := p.layout()
			if err != nil {
				return err
			}
			server, _, err := p.server()
			if err != nil {
				return err
			}
			instance, err := p.native()
			if err != nil {
				return err
			}
			kratos, err := instance.Tool(c.Context(), os.Stderr, "kratos")
			if err != nil {
				return err
			}
			hydra, err := instance.Tool(c.Context(), os.Stderr, "hydra")
			if err != nil {
				return err
			}
			smtp, err := layout.Address("smtp")
			if err != nil {
				return err
			}
			lines := []string{
				"GATEHOUSE_TEST_SMTP_ADDRESS=" + smtp,
				"GATEHOUSE_TEST_DATABASE_URL=" + server.URL(),
				// For a Kratos and a Hydra of a test's own, with this stack's settings.
				"GATEHOUSE_TEST_HYDRA=" + hydra,
				"GATEHOUSE_TEST_HYDRA_CONFIG=" + filepath.Join(p.configDir(), "hydra", "hydra.yml"),
				"GATEHOUSE_TEST_KRATOS=" + kratos,
				"GATEHOUSE_TEST_KRATOS_CONFIG=" + filepath.Join(p.configDir(), "kratos", "kratos.yml"),
			}
			for variable, endpoint := range map[string]string{
				"GATEHOUSE_TEST_KRATOS_PUBLIC_URL": "kratos-public", "GATEHOUSE_TEST_KRATOS_ADMIN_URL": "kratos-admin",
				"GATEHOUSE_TEST_HYDRA_PUBLIC_URL": "hydra-public", "GATEHOUSE_TEST_HYDRA_ADMIN_URL": "hydra-admin",
				"GATEHOUSE_TEST_KETO_READ_URL": "keto-read", "GATEHOUSE_TEST_KETO_WRITE_URL": "keto-write", "GATEHOUSE_TEST_KETO_OPL_URL": "keto-opl",
				"GATEHOUSE_TEST_MAIL_URL": "mail",
			} {
				base, err := layout.URL(endpoint)
				if err != nil {
					return err
				}
				lines = append(lines, variable+"="+base)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(lines, "\n"))
			return err
		}}
}

// renderCommand renders for compose; `up` renders for native stacks, which need ports chosen first.
func renderCommand(p *place) *cobra.Command {
	return &cobra.Command{Use: "render", Short: "Make secrets and render the configuration of a compose stack", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !p.compose {
				return errors.New("render is for --compose; a native stack is rendered by `up`")
			}
			chosen, err := settings.FromEnvironment(os.Environ(), settings.Default("http://localhost:8080"))
			if err != nil {
				return err
			}
			all, err := secrets.Ensure(p.secretsFile())
			if err != nil {
				return err
			}
			stack := render.Stack{Settings: chosen, Layout: topology.Compose(), Secrets: all}
			if err := stack.Write(p.root, p.configDir(), func(string) string { return composeDir }); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "rendered for %s, gate %s\n", chosen.PublicURL, chosen.Gate)
			return err
		}}
}

func databaseCommand(p *place) *cobra.Command {
	var check bool
	c := &cobra.Command{Use: "database", Short: "Make every part's database and role", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			server, all, err := p.server()
			if err != nil {
				return err
			}
			if !check {
				return server.Ensure(c.Context(), func(role string) (string, error) { return all.Get("db-" + role) })
			}
			connection, err := server.Connect(c.Context())
			if err != nil {
				return err
			}
			return connection.Close(c.Context())
		}}
	c.Flags().BoolVar(&check, "check", false, "only tell whether the server takes connections")
	return c
}

func postgresCommand(p *place) *cobra.Command {
	var program string
	c := &cobra.Command{Use: "postgres", Short: "Run the native stack's Postgres", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			instance, err := p.native()
			if err != nil {
				return err
			}
			all, err := secrets.Ensure(p.secretsFile())
			if err != nil {
				return err
			}
			return native.Postgres{
				Program:  program,
				Data:     instance.PostgresData(),
				Config:   filepath.Join(instance.ConfigDir(), "postgres", "postgresql.conf"),
				Password: all["postgres"],
			}.Run(c.Context())
		}}
	c.Flags().StringVar(&program, "program", "", "the postgres program")
	return c
}

func oplCommand(p *place) *cobra.Command {
	return &cobra.Command{Use: "check-opl", Short: "Check the permission model with Keto", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			layout, err := p.layout()
			if err != nil {
				return err
			}
			oplURL, err := layout.URL("keto-opl")
			if err != nil {
				return err
			}
			readURL, err := layout.URL("keto-read")
			if err != nil {
				return err
			}
			return opl.Check(c.Context(), oplURL, readURL, filepath.Join(p.configDir(), "keto", "namespaces.keto.ts"))
		}}
}

func seedCommand(p *place) *cobra.Command {
	var publicURL string
	c := &cobra.Command{Use: "seed", Short: "Make the demo person and client of a development stack", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			layout, err := p.layout()
			if err != nil {
				return err
			}
			servers := demo.Servers{PublicURL: strings.TrimSuffix(publicURL, "/")}
			var problems []error
			for name, into := range map[string]*string{"kratos-admin": &servers.KratosAdmin, "hydra-admin": &servers.HydraAdmin, "hydra-public": &servers.HydraPublic} {
				*into, err = layout.URL(name)
				problems = append(problems, err)
			}
			if err := errors.Join(problems...); err != nil {
				return err
			}
			return demo.Ensure(c.Context(), servers, p.demoFile())
		}}
	c.Flags().StringVar(&publicURL, "public-url", "", "public origin of the stack")
	return c
}

// fetchCommand asks an inner port. In compose these are on no host port, and the images have no curl:
// `docker compose run --rm seed fetch http://hydra:4445/health/ready`.
func fetchCommand() *cobra.Command {
	var method, body string
	var headers []string
	c := &cobra.Command{Use: "fetch URL", Short: "Send one HTTP request from inside and print the answer", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, arguments []string) error {
			request, err := http.NewRequestWithContext(c.Context(), method, arguments[0], strings.NewReader(body))
			if err != nil {
				return err
			}
			for _, header := range headers {
				name, value, _ := strings.Cut(header, ":")
				request.Header.Add(name, strings.TrimSpace(value))
			}
			client := &http.Client{Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }()
			return response.Write(c.OutOrStdout())
		}}
	c.Flags().StringVarP(&method, "method", "X", http.MethodGet, "request method")
	c.Flags().StringVarP(&body, "data", "d", "", "request body")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "request header, `Name: value`")
	return c
}
