package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/monitor"
	words "github.com/ssmd-project/ssmd/internal/text"
	"github.com/ssmd-project/ssmd/membership"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func status(name string, state membership.State, on string, ago time.Duration) control.Status {
	s := control.Status{Status: membership.Status{Name: name, State: state, Reason: "reason of " + name, Channels: 2, Since: noon.Add(-ago)}}
	if on != "" {
		s.Joined, s.Attachments = 2, []membership.Attachment{{Interface: on, Instance: 1}}
	}
	return s
}

func some() *model {
	return &model{all: []control.Status{
		status("a", membership.StateJoined, "eth0", time.Hour), status("b", membership.StateWaiting, "", time.Minute),
		status("c", membership.StateDegraded, "eth1", time.Second), status("d", membership.StateJoined, "eth1", 2*time.Hour),
	}}
}

func (m *model) names() string {
	text := ""
	for _, s := range m.listed() {
		text += s.Name
	}
	return text
}

func (m *model) enters(sent string) (quit bool) {
	for _, k := range decode([]byte(sent)) {
		quit = m.press(k)
	}
	return quit
}

func TestDecode(t *testing.T) {
	for sent, want := range map[string][]key{
		"jé":                    {{text: "j"}, {text: "é"}},
		"\x1b[A\x1bOB\x1b[6~q":  {{name: up}, {name: down}, {name: pageDown}, {text: "q"}},
		"\x1b":                  {{name: escape}},
		"\x1bq":                 {{name: escape}, {text: "q"}},
		"\x1b[1;5A\x1b[200~x":   {{text: "x"}},
		"\x1b[":                 {{name: escape}, {text: "["}},
		"\x1b[12":               nil,
		"\r\x7f\x03\x00\xff\tz": {{name: enter}, {name: backspace}, {name: interrupt}, {text: "z"}},
	} {
		if diff := cmp.Diff(want, decode([]byte(sent)), cmp.AllowUnexported(key{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sent, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"\x1b[A", "\x1bO", "\x1b[1;5A", "é", "\xff", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		m := some()
		for _, k := range decode(sent) {
			m.press(k)
			if k.text != "" && utf8.RuneCountInString(k.text) != 1 {
				t.Errorf("a key is %q", k.text)
			}
		}
		for _, l := range m.frame(noon, 80, 24) {
			if n := utf8.RuneCountInString(l.text); n > 80 {
				t.Errorf("a line of %d columns: %q", n, l.text)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	m := some()
	m.frame(noon, 80, 24)
	for _, step := range []struct{ keys, listed, selected string }{
		{"", "cbad", ""}, {"j", "cbad", "c"}, {"jj", "cbad", "a"}, {"\x1b[A", "cbad", "b"}, {"G", "cbad", "d"}, {"j", "cbad", "d"}, {"g", "cbad", "c"},
		{"s", "abcd", "c"}, {"s", "cbad", "c"}, {"ss", "cbad", "c"},
		{"/ETH1 joi", "d", "c"}, {"\x7f\x7f\x7f", "cd", "c"}, {"\rj", "cd", "d"}, {"/\x1b", "cbad", "d"}, {"/x\rk", "", "d"}, {"\x1b", "cbad", "d"},
	} {
		if m.enters(step.keys) {
			t.Errorf("%q quits", step.keys)
		}
		if m.names() != step.listed || m.selected != step.selected {
			t.Errorf("after %q: %s listed, %q selected, want %s and %q", step.keys, m.names(), m.selected, step.listed, step.selected)
		}
	}
	if !m.enters("q") || !m.enters("\x03") || m.enters("/q") || !m.enters("\x03") {
		t.Error("q and Ctrl-C quit, but q in a filter is a letter")
	}
}

func textOf(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(l.text, " ") + "\n")
	}
	return b.String()
}

func TestFrame(t *testing.T) {
	m := some()
	m.enters("j")
	m.note(membership.Event{Time: noon.Add(-3 * time.Second), Type: membership.EventReattached, Membership: "a", Interface: "eth0", Instance: 2, Reason: "it came back"})
	const want = `ssmd top  4 memberships: 1 degraded, 1 waiting, 2 joined
sorted by state
STATE     NAME     JOINED  INTERFACE   SINCE  REASON
degraded  c           2/2  eth1           1s  reason of c
waiting   b           0/2               1m0s  reason of b
joined    a           2/2  eth0         1h0m  reason of a

c: 0 attaches, 0 reattaches, 0 errors: reason of c
    3s ago  reattached a on eth0 (instance 2): it came back
q quits  j k move  / filters  s sorts by name
`
	if diff := cmp.Diff(want, textOf(m.frame(noon, 80, 10))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	m.lose(errors.New("gone"), noon)
	m.lose(errors.New("refused"), noon.Add(time.Second))
	if got := textOf(m.frame(noon.Add(5*time.Second), 80, 24)); !strings.Contains(got, "STALE for 5s: refused: trying again") {
		t.Error(got)
	}
}

// Every size is drawn within its bounds, the selected in view, and nothing that
// a terminal would obey.
func TestFrameFits(t *testing.T) {
	m := &model{events: []membership.Event{{Time: noon, Type: membership.EventError, Interface: "\x1b[2J", Reason: strings.Repeat("long ", 99)}}}
	for i := range 300 {
		s := status(fmt.Sprintf("feed-%03d", i), membership.StateJoined, "eth0\x1b[31m", time.Hour)
		s.Reason = strings.Repeat("\a\u202e", 60)
		m.all = append(m.all, s)
	}
	for _, size := range [][2]int{{80, 24}, {1, 1}, {10, 3}, {200, 60}, {80, 9}, {80, 10}, {0, 0}} {
		columns, rows := size[0], size[1]
		for _, keys := range []string{"", "G", "k", "g", "\x1b[6~\x1b[6~", "/feed-2\r", "\x1b"} {
			m.enters(keys)
			lines := m.frame(noon, columns, rows)
			if len(lines) > rows {
				t.Errorf("%v: %d lines", size, len(lines))
			}
			for _, l := range lines {
				if utf8.RuneCountInString(l.text) > columns || !words.Printable(l.text) {
					t.Errorf("%v: %q", size, l.text)
				}
			}
			hidden := m.filter != "" && !strings.Contains(m.selected, "feed-2")
			if m.selected != "" && !hidden && rows >= 9 && columns >= 80 && !strings.Contains(textOf(lines[3:]), m.selected) {
				t.Errorf("%v, after %q: %s is not in view:\n%s", size, keys, m.selected, textOf(lines))
			}
		}
	}
}

// Where something is monitored there is a column that says how it comes in.
func TestRates(t *testing.T) {
	m := some()
	if picture := drawn(m); strings.Contains(picture, "RATE") {
		t.Errorf("nothing is monitored:\n%s", picture)
	}
	m.all[0].Monitor = &monitor.Status{Streams: []monitor.Stream{{DatagramsPerSecond: 96, BytesPerSecond: 96_800}}}
	m.all[3].Monitor = &monitor.Status{Stalled: 1, Streams: []monitor.Stream{{}}}
	picture := drawn(m)
	for _, want := range []string{"SINCE  RATE             REASON", "96/s 774 kbit/s  reason of a", "stalled          reason of d", "                 reason of b"} {
		if !strings.Contains(picture, want) {
			t.Errorf("no %q in:\n%s", want, picture)
		}
	}
	m.filter = "stalled"
	if got := m.names(); got != "d" {
		t.Errorf("filtered: %q", got)
	}
}

func drawn(m *model) string {
	var lines []string
	for _, l := range m.frame(noon, 120, 20) {
		lines = append(lines, l.text)
	}
	return strings.Join(lines, "\n")
}
