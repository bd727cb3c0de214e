package envoy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// Describe reads a request as a person writes it down, {"method":"GET","url":"https://host/path?query",
// "headers":{"cookie":"..."},"remote_ip":"192.0.2.1"}, and returns what Envoy would ask about it. The URL
// is cut by hand, so that odd ones arrive as they were written.
func Describe(description []byte) (*authv3.CheckRequest, error) {
	var d struct {
		Method   string            `json:"method"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		RemoteIP string            `json:"remote_ip"`
	}
	decoder := json.NewDecoder(bytes.NewReader(description))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	scheme, rest, found := strings.Cut(d.URL, "://")
	slash := strings.IndexByte(rest, '/')
	if !found || slash < 0 || d.Method == "" {
		return nil, errors.New("the request: method and url (scheme://host/path) are required")
	}
	http := &authv3.AttributeContext_HttpRequest{
		Method: d.Method, Host: rest[:slash], Path: rest[slash:], Body: d.Body, HeaderMap: &corev3.HeaderMap{},
	}
	add := func(name, value string) {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(value)})
	}
	for name, value := range d.Headers {
		add(name, value)
	}
	add("x-forwarded-proto", scheme)
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: d.RemoteIP},
		}}},
		Request: &authv3.AttributeContext_Request{Http: http},
	}}, nil
}
