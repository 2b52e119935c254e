package handoffd

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
)

// JSON is JSON, however it is laid out and escaped.
func TestFormsOfJSON(t *testing.T) {
	s := newStand(t, 8, quick())
	for name, body := range map[string]string{
		"tabs":        "{\n\t\"channels\":\t\"10.1.0.1@232.1.1.1\",\n\t\"interface\":\t\"eth0\"\n}\n",
		"no space":    `{"channels":["10.1.0.1@232.1.1.1"],"interface":{"name":"eth0"}}`,
		"CR LF":       "{\r\n  \"channels\": \"10.1.0.1@232.1.1.1\",\r\n  \"interface\": \"eth0\"\r\n}",
		"escapes":     `{"channels": "10.1.0.1@232.1.1\u002e1", "interface": "eth0"}`,
		"escaped key": `{"channel\u0073": "10.1.0.1@232.1.1.1", "interface": "eth0"}`,
		"hashes":      `{"name": "a","channels": "10.1.0.1@232.1.1.1", "interface": "e#0"}`,
		"leading":     "  \t\n" + request,
		"nested":      "{\n\t\"channels\": [\n\t\t\"10.1.0.1@232.1.1.1\"\n\t],\n\t\"interface\": {\n\t\t\"name\": \"eth0\"\n\t}\n}",
		"trailing":    request + "\n\t \r\n",
		"slash":       strings.Replace(request, "eth0", `eth\/0`, 1),
		"pair":        strings.Replace(request, `"eth0"`, `{"alias": "\ud83d\ude00"}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			fd, _ := udp(t)
			c.send(body, fd)
			if m, err := c.hear(); err != nil || m.Type != handoff.TypeAnswer {
				t.Errorf("heard %+v, %v, want an answer", m, err)
			}
			_ = c.Close()
		})
	}
}

// What is no UTF-8, and what asks for too much, is refused.
func TestNoUTF8(t *testing.T) {
	s := newStand(t, 8, quick())
	for name, body := range map[string]string{
		"name":      strings.Replace(request, "{", "{\"name\": \"a\xff\", ", 1),
		"interface": strings.Replace(request, "eth0", "eth\xff", 1),
		"surrogate": strings.Replace(request, "eth0", `eth\ud800`, 1),
		"all":       strings.Replace(request, `"channels": "10.1.0.1@232.1.1.1"`, `"groups": "232.0.0.0/8"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			fd, _ := udp(t)
			c.send(body, fd)
			c.wantRefused(control.TypeInvalid)
		})
	}
}

// Sockets that are near to UDP ones are refused.
func TestNearlyUDP(t *testing.T) {
	s := newStand(t, 8, quick())
	for name, protocol := range map[string]int{"UDP-Lite": unix.IPPROTO_UDPLITE, "ICMP": unix.IPPROTO_ICMP} {
		t.Run(name, func(t *testing.T) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				t.Skipf("this kernel makes none: %v", err)
			}
			c := s.dial()
			c.t = t
			c.send(request, open(t, fd, nil))
			c.wantRefused(handoff.ProblemDescriptor, "want a UDP socket")
		})
	}
}

func TestAsYAML(t *testing.T) {
	for in, want := range map[string]string{
		`"a\/b"`:                   `"a/b"`,
		`"a\\/b"`:                  `"a\\/b"`,
		`"\ud83d\ude00 \\ud83d"`:   "\"\U0001f600 \\\\ud83d\"",
		`"\ud83d"`:                 `"\ud83d"`,
		`"\\\ud83d\ude00\n\u0041"`: "\"\\\\\U0001f600\\n\\u0041\"",
		" \t{} \n":                 "{}",
	} {
		if got := string(asYAML([]byte(in))); got != want {
			t.Errorf("asYAML(%s) = %s, want %s", in, got, want)
		}
	}
}
