//go:build smoke && compose

package smoke

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// container is what `docker inspect` tells of one.
type container struct {
	Config struct {
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs bool
		Privileged     bool
		CapDrop        []string
		CapAdd         []string
		SecurityOpt    []string
	}
	Mounts []struct {
		Type, Name, Destination string
		RW                      bool
	}
	NetworkSettings struct {
		Networks map[string]any
		Ports    map[string][]struct{ HostIP, HostPort string }
	}
}

func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

// containers of the project, one-shot services included, by service.
func containers(t *testing.T) map[string]container {
	t.Helper()
	ids := strings.Fields(must(t, "docker", "compose", "ps", "--all", "--quiet"))
	require.NotEmpty(t, ids)
	var all []container
	require.NoError(t, json.Unmarshal([]byte(must(t, "docker", append([]string{"inspect"}, ids...)...)), &all))
	byService := map[string]container{}
	for _, one := range all {
		byService[one.service()] = one
	}
	return byService
}

// What each service may mount and which networks it is on. A new one has to be added here, by somebody who thought.
var allowed = map[string]struct{ volumes, networks []string }{
	"render": {[]string{"secrets", "kratos-config", "hydra-config", "keto-config", "oathkeeper-config", "authz-config", "api-config",
		"migrate-config", "postgres-config", "envoy-config"}, []string{"none"}},
	"postgres":       {[]string{"postgres-config", "postgres-data"}, []string{"data"}},
	"database":       {[]string{"secrets"}, []string{"data"}},
	"mailpit":        {nil, []string{"mail"}},
	"kratos-migrate": {[]string{"kratos-config"}, []string{"data"}},
	"kratos":         {[]string{"kratos-config"}, []string{"core", "data", "mail"}},
	"hydra-migrate":  {[]string{"hydra-config"}, []string{"data"}},
	"hydra":          {[]string{"hydra-config"}, []string{"core", "data"}},
	"keto-migrate":   {[]string{"keto-config"}, []string{"data"}},
	"keto":           {[]string{"keto-config"}, []string{"core", "data"}},
	"opl-check":      {[]string{"keto-config"}, []string{"core"}},
	"oathkeeper":     {[]string{"oathkeeper-config"}, []string{"core"}},
	"authz":          {[]string{"authz-config"}, []string{"core"}},
	"api-migrate":    {[]string{"migrate-config"}, []string{"data"}},
	"api":            {[]string{"api-config"}, []string{"core", "data", "mail"}},
	"web":            {nil, []string{"web"}},
	"seed":           {[]string{"demo"}, []string{"core"}},
	"envoy":          {[]string{"envoy-config"}, []string{"core", "public", "web"}},
}

func TestEachContainerMountsAndReachesOnlyWhatItMay(t *testing.T) {
	for service, c := range containers(t) {
		expected, known := allowed[service]
		require.True(t, known, service)
		var volumes, networks []string
		for _, mount := range c.Mounts {
			if mount.Type != "volume" || !strings.Contains(mount.Name, "_") {
				continue // bind mounts of the templates; volumes that an image declares for itself
			}
			_, name, _ := strings.Cut(mount.Name, "_")
			volumes = append(volumes, name)
			if strings.HasSuffix(name, "-config") || name == "secrets" {
				require.Equal(t, service == "render", mount.RW, "%s may write %s", service, name)
			}
		}
		for name := range c.NetworkSettings.Networks {
			networks = append(networks, name[strings.LastIndex(name, "_")+1:])
		}
		slices.Sort(networks)
		require.ElementsMatch(t, expected.volumes, volumes, service)
		require.Equal(t, expected.networks, networks, service)
	}
}

func TestEveryContainerIsHardened(t *testing.T) {
	for service, c := range containers(t) {
		require.True(t, c.HostConfig.ReadonlyRootfs, service)
		require.False(t, c.HostConfig.Privileged, service)
		require.Equal(t, []string{"ALL"}, c.HostConfig.CapDrop, service)
		require.Empty(t, c.HostConfig.CapAdd, service)
		require.Contains(t, c.HostConfig.SecurityOpt, "no-new-privileges:true", service)
		require.NotContains(t, []string{"", "0", "root", "0:0"}, c.Config.User, service)
	}
}

func TestOnlyTheDoorAndTheMailPageArePublished(t *testing.T) {
	published := map[string]string{}
	for service, c := range containers(t) {
		for port, bindings := range c.NetworkSettings.Ports {
			for _, binding := range bindings {
				require.Equal(t, "127.0.0.1", binding.HostIP, service)
				published[service] = port
			}
		}
	}
	require.Equal(t, map[string]string{"envoy": "8080/tcp", "mailpit": "8025/tcp"}, published)
}

func TestTheWebAppReachesTheDoorAndNothingElse(t *testing.T) {
	const connect = `const [host, port] = process.argv[1].split(":");
const socket = require("net").connect({ host, port, timeout: 2000 });
const end = (word) => { console.log(word); process.exit(0); };
socket.on("connect", () => end("reached")); socket.on("error", () => end("refused")); socket.on("timeout", () => end("refused"));`
	reach := func(address string) string {
		return strings.TrimSpace(must(t, "docker", "compose", "exec", "-T", "web", "/nodejs/bin/node", "-e", connect, address))
	}
	require.Equal(t, "reached", reach("envoy:8080"))
	for _, address := range []string{
		"kratos:4433", "kratos:4434", "hydra:4444", "hydra:4445", "keto:4466", "keto:4467", "oathkeeper:4456", "authz:9191", "authz:9192",
		"api:3001", "api:3002", "postgres:5432", "mailpit:1025", "envoy:9901",
	} {
		require.Equal(t, "refused", reach(address), address)
	}
}
