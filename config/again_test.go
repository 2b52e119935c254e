package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
)

// These are put together at random. Some are wrong, or mean something else next
// to others.
var (
	heads = []string{
		"", "audit: 10s\n", "defaults: {interface: eth1}\n", "# memberships:\n", "log: {level: \"debug\n  memberships:\n  \"}\n",
		"x: &a 1\n", "---\n", "%YAML 1.1\n---\n", "include: d/*.yaml\n",
	}
	elements = []string{
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"  - name: N\n    interface: eth0\n    channels:\n      - 10.1.0.1@232.1.0.2\n      - 10.1.0.1@232.1.0.3\n",
		"  -\n    name: N\n    interface: {alias: \"a\n  - b\"}\n    channels: 10.1.0.1@232.1.0.1\n",
		"  # nothing\n\n  - {name: N, channels: 10.1.0.1@232.1.0.4}\n",
		"  - {name: N, interface: eth0,\n    groups: 232.1.2.0/30, sources: [10.1.0.1]}\n",
		"  - name: N\n    interface:\n      alias: |\n        some\n        - words\n    channels: 10.1.0.1@232.1.0.1\n",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@233.1.0.1}\n",
		"  - {name: same, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1\n",
		"  - name: N\n    interface: \"eth0\n",
		"  - {name: N, interface: eth0, reattach: {when: \"true && true\"}, channels: 10.1.0.1@232.1.0.1}\n",
		"- {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"   - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"  -\t{name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\r\n",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\r",
		"  - {name: N,\n\tinterface: eth0, channels: 10.1.0.1@232.1.0.1}\n",
		"  - {name: N,\ninterface: eth0,\n channels: 10.1.0.1@232.1.0.1}\n",
		"  - name: N\n    interface: {alias: 'a\n\n  - {name: q, interface: eth0, channels: 10.1.0.1@232.1.0.1}\n'}\n    channels: 10.1.0.1@232.1.0.1\n",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\r...\r",
		"  - {name: N, interface: eth0, channels: 10.1.0.1@232.1.0.1}\u2028...\n",
		"  - *a\n", "  x\n", "  \"}\n", "...\n",
	}
	tails = []string{"", "audit: 20s\n", "http: {listen: \"\"}\n", "  # the end", "memberships: []\n", "\"\n", "  - {name: last, interface: eth0, channels: 10.1.0.1@232.1.0.9}"}
)

type draft struct {
	head, tail string
	elements   []string
}

func (d draft) text() string {
	return d.head + "memberships:\n" + strings.Join(d.elements, "") + d.tail
}

// edit changes a little of it.
func (d draft) edit(random *rand.Rand, name string) draft {
	pick := func(from []string) string { return from[min(random.IntN(len(from)), random.IntN(len(from)))] }
	element := strings.ReplaceAll(pick(elements), "N", name)
	d.elements = slices.Clone(d.elements)
	at := random.IntN(len(d.elements) + 1)
	switch n := random.IntN(20); {
	case n == 0:
		d.head = pick(heads)
	case n == 1:
		d.tail = pick(tails)
	case n < 8 || at == len(d.elements):
		d.elements = slices.Insert(d.elements, at, element)
	case n < 14:
		d.elements[at] = element
	case n < 18:
		d.elements = slices.Delete(d.elements, at, at+1)
	}
	return d
}

// What looks like an element, or like the end of one, does not make a reload take
// one membership for another.
func TestAgainIsNotDeceived(t *testing.T) {
	clean(t)
	path := filepath.Join(t.TempDir(), "ssmd.yaml")
	element := func(name string) string {
		return "  - {name: " + name + ", interface: eth0, channels: 10.1.0.1@232.1.0.1}\n"
	}
	const (
		quoted = "  - name: b\n    interface: {name: eth0, alias: \"rack 7\n  - uplink\"}\n    channels: 10.1.0.1@232.1.0.1\n"
		tabbed = "  - {name: c,\n\tinterface: eth0, channels: 10.1.0.1@232.1.0.1}\n"
		head   = "defaults: {interface: {alias: \"x\nmemberships:\n  - y\"}}\n"
	)
	for name, c := range map[string]struct{ before, now string }{
		"a dash in quotes":        {"memberships:\n" + element("a") + quoted + tabbed + element("d"), "memberships:\n" + element("a") + tabbed + element("d")},
		"the key in quotes":       {head + "memberships:\n" + element("a"), head + "memberships:\n" + element("r")},
		"a document ends in a CR": {"memberships:\n" + element("a") + element("b"), "memberships:\n" + strings.TrimSuffix(element("c"), "\n") + "\r...\r\n" + element("b")},
	} {
		write(t, path, c.before)
		_, last, err := LoadAgain(Options{Path: path}, Sources{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, c.now)
		want, _, wantErr := LoadAgain(Options{Path: path}, Sources{})
		got, _, err := LoadAgain(Options{Path: path}, last)
		if errorText(wantErr) != errorText(err) || !slices.Equal(slices.Collect(want.Names()), slices.Collect(got.Names())) {
			t.Errorf("%s: %v, %d memberships; as a whole %v, %d", name, err, got.Len(), wantErr, want.Len())
		}
	}
}

// TestAgainIsAsAnew holds that a file that is read again comes to the same, and
// to the same errors, as if it were read for the first time.
func TestAgainIsAsAnew(t *testing.T) {
	clean(t)
	random := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "ssmd.yaml")
	spared, good := 0, 0
	for range 60 {
		d := draft{}
		var last Sources
		for n := range 20 {
			next := d.edit(random, fmt.Sprint("m", n))
			write(t, path, next.text())
			want, wantSources, wantErr := LoadAgain(Options{Path: path}, Sources{})
			got, sources, err := LoadAgain(Options{Path: path}, last)
			if diff := cmp.Diff(errorText(wantErr), errorText(err)); diff != "" {
				t.Fatalf("-anew +again:\n%s\nbefore:\n%s\nnow:\n%s", diff, d.text(), next.text())
			}
			if d := Compare(want, got); !cmp.Equal(d, Difference{}) || !slices.Equal(slices.Collect(want.Names()), slices.Collect(got.Names())) || sources.Digest != wantSources.Digest {
				t.Fatalf("%+v in\n%s", d, next.text())
			}
			if err != nil {
				continue // and go on from what was good
			}
			good++
			if last.reading != nil {
				if _, ok := last.reading.again(path, []byte(next.text())); ok {
					spared++
				}
			}
			d, last = next, sources
		}
	}
	t.Logf("%d good ones, %d of them not read as a whole", good, spared)
	if spared < good/5 {
		t.Errorf("of %d only %d were not read as a whole", good, spared)
	}
}

func sameName(a, b membership.Membership) bool { return a.Name == b.Name }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestInPieces holds that a long file comes to the same, and to the same errors,
// as if it were read as a whole.
func TestInPieces(t *testing.T) {
	clean(t)
	path := filepath.Join(t.TempDir(), "ssmd.yaml")
	random := rand.New(rand.NewPCG(3, 4))
	plain := []string{elements[0], elements[1], elements[3], elements[4]}
	for _, wrong := range append([]string{""}, elements...) {
		d := draft{head: "defaults: {interface: eth1}\n", tail: "audit: 20s\n"}
		for n := range 3*piece + 10 {
			d.elements = append(d.elements, strings.ReplaceAll(plain[random.IntN(len(plain))], "N", fmt.Sprint("m", n)))
		}
		d.elements[2*piece] = strings.ReplaceAll(wrong, "N", "odd")
		write(t, path, d.text())
		want, wantErr := Parse(path, []byte(d.text()))
		got, err := Load(Options{Path: path})
		if diff := cmp.Diff(errorText(wantErr), errorText(err)); diff != "" {
			t.Errorf("%q (-whole +in pieces):\n%s", wrong, diff)
		}
		if d := Compare(Pack(want), Pack(got)); !cmp.Equal(d, Difference{}) || !slices.EqualFunc(want.Memberships, got.Memberships, sameName) {
			t.Errorf("%q: %+v", wrong, d)
		}
		if _, ok := inPieces(path, []byte(d.text()), newGatherer()); wrong == "" && !ok {
			t.Error("it is read as a whole")
		}
	}
}

// TestAgainDecodesWhatDiffers holds that what is as before is the very same.
func TestAgainDecodesWhatDiffers(t *testing.T) {
	lines := func(names ...string) []byte {
		text := "memberships:\n"
		for _, name := range names {
			text += "  - {name: " + name + ", interface: eth-" + name + ", channels: 10.1.0.1@232.1.0.1}\n"
		}
		return []byte(text)
	}
	path := filepath.Join(t.TempDir(), "ssmd.yaml")
	write(t, path, string(lines("a", "b", "c")))
	c, s, err := LoadAgain(Options{Path: path}, Sources{})
	if err != nil {
		t.Fatal(err)
	}
	next, ok := s.reading.again(path, lines("a", "x", "y", "c"))
	if !ok {
		t.Fatal("it is read as a whole")
	}
	for at, was := range map[int]int{0: 0, 1: -1, 2: -1, 3: 2} {
		got := next.config.packed[at].rest
		if same := was >= 0 && got == c.packed[was].rest; same != (was >= 0) {
			t.Errorf("%d: the same as before is %t", at, same)
		}
	}
}

// BenchmarkAgain is a file of 10,000 memberships of which one is another.
func BenchmarkAgain(b *testing.B) {
	var text strings.Builder
	text.WriteString("memberships:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "  - {name: m%d, interface: eth0, channels: 10.1.0.1@232.1.%d.%d}\n", i, i>>8, i&255)
	}
	var texts [2]string
	texts[0] = text.String()
	texts[1] = strings.Replace(texts[0], "10.1.0.1@232.1.9.9}", "10.1.0.2@232.1.9.9}", 1)
	path := filepath.Join(b.TempDir(), "ssmd.yaml")
	var last Sources
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if err := os.WriteFile(path, []byte(texts[n%2]), 0o600); err != nil {
			b.Fatal(err)
		}
		_, s, err := LoadAgain(Options{Path: path}, last)
		if err != nil {
			b.Fatal(err)
		}
		last = s
	}
}
