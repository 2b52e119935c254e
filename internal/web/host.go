package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// refuseForeign answers 421 (RFC 9110, section 15.5.20) to whoever asks for a
// host that is not this one. Behind a loopback address only programs on this
// machine are meant to be; a page of a stranger, in a browser there, can have
// the stranger's name lead to it, and would then be allowed to read the answers.
func refuseForeign(configured string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOurs(hostOf(r.Host), configured) {
			http.Error(w, fmt.Sprintf("host %.100q is not served here: ask for localhost, for a loopback address, or for the host in http.listen", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf takes the port from a Host header, and the brackets.
func hostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	if inner, ok := strings.CutPrefix(header, "["); ok {
		return strings.TrimSuffix(inner, "]")
	}
	return header
}

// isOurs reports whether a host is this machine by a name that nobody else can
// have lead here: localhost and what ends in it (RFC 6761, section 6.3), a
// loopback address, or what the configuration says.
func isOurs(host, configured string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" {
		return false
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == strings.ToLower(strings.TrimSuffix(configured, "."))
}
