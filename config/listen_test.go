package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	for _, good := range []string{
		"", ":9781", "127.0.0.1:9781", "[::1]:9781", "[::]:1", "0.0.0.0:65535", "[fe80::1%eth0]:80", "localhost:9781", "a-b.example.org:9781", "x_1:9781", "10.example:1",
	} {
		c := Settings{HTTP: HTTP{Listen: "before"}}
		if err := setListen(&c, good); err != nil || c.HTTP.Listen != good {
			t.Errorf("%q: %v, and it is %q", good, err, c.HTTP.Listen)
		}
		agrees(t, fmt.Sprintf("http: {listen: %q}", good), nil)
	}
	for bad, want := range map[string]string{
		"9781":                          "is no address to listen on",
		"localhost":                     "is no address to listen on",
		"::1:9781":                      "is no address to listen on",
		"[::1]":                         "is no address to listen on",
		"http://localhost:1":            "is no address to listen on",
		"127.0.0.1:":                    "has no port",
		"127.0.0.1:0":                   "has no port",
		":65536":                        "has no port",
		":+1":                           "has no port",
		":http":                         "has no port",
		"127.0.0.256:1":                 "names no host",
		"1:9781":                        "names no host",
		"a b:9781":                      "names no host",
		"-a:9781":                       "names no host",
		"a..b:9781":                     "names no host",
		"*:9781":                        "names no host",
		"\x1b:9781":                     "names no host",
		strings.Repeat("a", 254) + ":1": "names no host",
	} {
		c := Settings{HTTP: HTTP{Listen: "before"}}
		if err := setListen(&c, bad); err == nil || !strings.Contains(err.Error(), want) || c.HTTP.Listen != "before" {
			t.Errorf("%q: %v, want %s; and it is %q", bad, err, want, c.HTTP.Listen)
		} else {
			agrees(t, fmt.Sprintf("http: {listen: %q}", bad), err)
		}
	}
}
