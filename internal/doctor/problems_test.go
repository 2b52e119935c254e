package doctor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var verb = regexp.MustCompile(`%[sdv]`)

// TestTroubleshooting holds that every message of the doctor has its place in
// the page, as an example of it between backticks in a heading, and that what
// the page says of the doctor is a message of his.
func TestTroubleshooting(t *testing.T) {
	const page = "../../docs/troubleshooting.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## What doctor finds\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var headings []string
	for line := range strings.Lines(section) {
		if heading, is := strings.CutPrefix(strings.TrimSpace(line), "### "); is {
			headings = append(headings, heading)
		}
	}
	used := make(map[string]bool)
	for n, h := range headings {
		if slices.Contains(headings[:n], h) {
			t.Errorf("%s says %s twice", page, h)
		}
	}
	for _, p := range Problems() {
		var pattern strings.Builder
		rest := p.Found
		for {
			at := verb.FindStringIndex(rest)
			if at == nil {
				break
			}
			pattern.WriteString(regexp.QuoteMeta(rest[:at[0]]) + ".+")
			rest = rest[at[1]:]
		}
		message := regexp.MustCompile("^`" + pattern.String() + regexp.QuoteMeta(rest) + "` \\(" + p.Check + "\\)$")
		found := false
		for _, h := range headings {
			if message.MatchString(h) {
				found, used[h] = true, true
			}
		}
		if !found {
			t.Errorf("%s has no heading like\n### `%s` (%s)", page, p.Found, p.Check)
		}
	}
	for _, h := range headings {
		if !used[h] {
			t.Errorf("%s: the doctor does not say %s", page, h)
		}
	}
}

// Every problem says why it matters, and no two say the same.
func TestProblems(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range Problems() {
		if p.Why == "" || p.Check == "" || p.Outcome.rank() == 0 || seen[p.Check+p.Found] {
			t.Errorf("%+v", p)
		}
		seen[p.Check+p.Found] = true
	}
}
