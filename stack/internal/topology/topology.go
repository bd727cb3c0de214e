// Package topology knows where every part listens and how the others reach it, in both ways of running.
// It is the one table of names and ports; configuration templates ask it by name.
package topology

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// Endpoint is one listener of one part.
type Endpoint struct {
	Name string
	// Service is the part's name in docker-compose.yml, which is its host name there.
	Service string
	// Port is the canonical port: always that in compose, and natively unless it is taken.
	Port int
}

// Endpoints lists every listener of the stack.
var Endpoints = []Endpoint{
	{"door", "envoy", 8080},
	{"envoy-admin", "envoy", 9901},
	{"postgres", "postgres", 5432},
	{"kratos-public", "kratos", 4433},
	{"kratos-admin", "kratos", 4434},
	{"hydra-public", "hydra", 4444},
	{"hydra-admin", "hydra", 4445},
	{"keto-read", "keto", 4466},
	{"keto-write", "keto", 4467},
	{"keto-metrics", "keto", 4468},
	{"keto-opl", "keto", 4469},
	{"oathkeeper-proxy", "oathkeeper", 4455},
	{"oathkeeper-api", "oathkeeper", 4456},
	{"oathkeeper-metrics", "oathkeeper", 9000},
	{"smtp", "mailpit", 1025},
	{"mail", "mailpit", 8025},
	{"authz-grpc", "authz", 9191},
	{"authz-ops", "authz", 9192},
	{"api", "api", 3001},
	{"api-internal", "api", 3002},
	{"web", "web", 3000},
}

// Layout answers where the endpoints of one running stack are.
type Layout struct {
	native bool
	ports  map[string]int
}

// Compose is the layout inside the compose networks: host names are service names, ports canonical.
func Compose() Layout {
	ports := make(map[string]int, len(Endpoints))
	for _, endpoint := range Endpoints {
		ports[endpoint.Name] = endpoint.Port
	}
	return Layout{ports: ports}
}

// Native is the layout of a stack on this machine: everything on loopback, at the given ports.
func Native(ports map[string]int) Layout { return Layout{native: true, ports: ports} }

// IsNative tells whether everything listens on loopback.
func (l Layout) IsNative() bool { return l.native }

// Port returns the port of the named endpoint.
func (l Layout) Port(name string) (int, error) {
	port, known := l.ports[name]
	if !known {
		return 0, fmt.Errorf("no endpoint is called %q", name)
	}
	return port, nil
}

// Listen returns the address that the part itself binds, without a port.
func (l Layout) Listen(name string) (string, error) {
	if _, err := l.Port(name); err != nil {
		return "", err
	}
	if l.native {
		return "127.0.0.1", nil
	}
	return "0.0.0.0", nil
}

// Bind returns the address that the part itself binds, with the port.
func (l Layout) Bind(name string) (string, error) {
	host, err := l.Listen(name)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(l.ports[name])), nil
}

// Host returns the name by which the other parts reach the endpoint.
func (l Layout) Host(name string) (string, error) {
	for _, endpoint := range Endpoints {
		if endpoint.Name != name {
			continue
		}
		if l.native {
			return "127.0.0.1", nil
		}
		return endpoint.Service, nil
	}
	return "", fmt.Errorf("no endpoint is called %q", name)
}

// Address returns host:port as the other parts reach it.
func (l Layout) Address(name string) (string, error) {
	host, err := l.Host(name)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(l.ports[name])), nil
}

// URL returns http://host:port as the other parts reach it.
func (l Layout) URL(name string) (string, error) {
	address, err := l.Address(name)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "http", Host: address}).String(), nil
}
