package ory

import "net/http"

// Keto is Keto's read port.
type Keto struct{ server }

// NewKeto speaks to Keto's read port.
func NewKeto(base string, c *http.Client) *Keto { return &Keto{newServer(base, "/health/ready", c)} }
