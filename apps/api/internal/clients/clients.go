// Package clients is about OAuth 2.0 clients that organizations own. Hydra has the client and its secret; a row here says
// whose it is and what it may have.
package clients
