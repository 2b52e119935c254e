package statuspage

import (
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"
)

// limits bound what readers can cost.
type limits struct {
	streams   int           // readers of changes at a time
	asking    int           // explanations at a time
	entries   int           // in a message
	write     time.Duration // for a message to be taken
	heartbeat time.Duration // between two messages, so that either end notices when the other is gone
	channels  int           // of a membership, in an explanation
	events    int           // likewise
}

var defaultLimits = limits{
	streams: 16, asking: 2, entries: 500,
	write: 10 * time.Second, heartbeat: 15 * time.Second,
	channels: 500, events: 200,
}

//go:embed assets
var embedded embed.FS

// security is what every answer says: scripts and styles are the page's own
// files, text cannot become markup, and no other site may frame it, read it, or
// learn of it.
var security = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Cache-Control":                "no-store",
}

// Handler answers for the page. It may be used before Run is called.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", asset("index.html"))
	files, _ := fs.ReadDir(embedded, "assets") // it was embedded
	for _, f := range files {
		mux.HandleFunc("GET /page/"+f.Name(), asset(f.Name()))
	}
	mux.HandleFunc("GET /plain", b.plain)
	mux.HandleFunc("GET /status/stream", b.stream)
	mux.HandleFunc("GET /status/explain", b.explain)
	own, _ := os.Hostname() // nothing is nobody's name
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range security {
			w.Header().Set(name, value)
		}
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case !isNamed(r.Host, b.options.Host, own):
			http.Error(w, fmt.Sprintf("host %.100q is not served here: ask for an IP address, for localhost, for the machine's name, or for the host in http.listen", r.Host), http.StatusMisdirectedRequest)
		case strings.HasPrefix(r.URL.Path, "/status/") && site != "" && site != "same-origin" && site != "none":
			http.Error(w, "asked for by another site", http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// asset answers with a file of the page.
func asset(name string) http.HandlerFunc {
	content, _ := embedded.ReadFile("assets/" + name)
	kind := "application/octet-stream"
	switch path.Ext(name) {
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".html":
		kind = "text/html; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(content) // the reader is gone
	}
}

// isNamed reports whether a Host header is an address, or one of the names.
// Another name may be a stranger's, who has it lead here so that a page of his,
// in a browser that reaches this machine, may read the answers.
func isNamed(header string, names ...string) bool {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	for _, name := range names {
		if host != "" && host == strings.ToLower(strings.TrimSuffix(name, ".")) {
			return true
		}
	}
	return false
}
