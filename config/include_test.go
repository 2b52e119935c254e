package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// feed is the entry of a membership with one channel.
func feed(name string) string {
	return "- {name: " + name + ", channels: 10.1.0.1@232.1.1.1, interface: eth0}\n"
}

// wishFile is a whole file with these memberships.
func wishFile(names ...string) string {
	text := "memberships:\n"
	for _, name := range names {
		text += feed(name)
	}
	return text
}

func names(c Config) string {
	var all []string
	for _, m := range c.Memberships {
		all = append(all, m.Name)
	}
	return strings.Join(all, " ")
}

func TestInclude(t *testing.T) {
	dir := clean(t)
	write(t, filepath.Join(dir, "d/b.yaml"), wishFile("b"))
	write(t, filepath.Join(dir, "d/a.yaml"), "defaults: {require: []}\n"+wishFile("a1", "a2"))
	write(t, filepath.Join(dir, "d/empty.yaml"), "")
	for _, other := range []string{".b.yaml", ".b.yaml.swp", "b.yaml~", "#b.yaml#", "b.yaml.rpmsave", "b.yaml.dpkg-dist", "b.yml", "..data/b.yaml"} {
		write(t, filepath.Join(dir, "d", other), "{{{")
	}
	write(t, filepath.Join(dir, "[x]/c.yaml"), wishFile("c"))
	if err := os.Symlink("d/b.yaml", filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ include, want string }{
		{"d", "main a1 a2 b"},
		{"d/", "main a1 a2 b"},
		{"[d, none.d/*.yaml]", "main a1 a2 b"},
		{`"d/*.yaml"`, "main a1 a2 b"},
		{`"*/*.yaml"`, "main c a1 a2 b"}, // in lexical order of directories too
		{`["d/b*", "d/a*"]`, ""},         // what a pattern asks for, it gets
		{`["d/b.yaml", "d/*.yaml"]`, "main b a1 a2"},
		{`[link.yaml, "d/a.yaml"]`, "main b a1 a2"},
		{dir + "/d/b.yaml", "main b"},
		{"[]", "main"},
		{"", "main"},
	}
	for _, tt := range tests {
		path := write(t, filepath.Join(dir, "ssmd.yaml"), "include: "+tt.include+"\ndefaults: {attach: all}\n"+wishFile("main"))
		c, err := Load(Options{Path: path})
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: got %s, want an error", tt.include, names(c))
			}
			continue
		}
		if err != nil || names(c) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.include, names(c), err, tt.want)
		}
		for _, m := range c.Memberships {
			if own := m.Name == "main"; own != (m.Rules.Attach == "all") {
				t.Errorf("%s: attach %s", m.Name, m.Rules.Attach)
			}
			if own := m.Name[0] == 'a'; own != (len(m.Rules.Require) == 0) {
				t.Errorf("%s: require %v", m.Name, m.Rules.Require)
			}
		}
	}
	// A directory of another name than it seems.
	path := write(t, filepath.Join(dir, "[x]/ssmd.yaml"), "include: \"c*.yaml\"\n")
	if c, err := Load(Options{Path: path}); err != nil || names(c) != "c" {
		t.Errorf("%s, %v", names(c), err)
	}
	// What it comes to is whole, and a file again.
	text, err := Config{Memberships: mustLoad(t, path).Memberships}.YAML()
	if err != nil || !strings.Contains(string(text), "name: c\n") || strings.Contains(string(text), "include") {
		t.Errorf("%s, %v", text, err)
	}
}

func mustLoad(t *testing.T, path string) Config {
	t.Helper()
	c, err := Load(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIncludeFromStandardInput(t *testing.T) {
	dir := clean(t)
	write(t, "d/a.yaml", wishFile("a"))
	saved := os.Stdin
	t.Cleanup(func() { os.Stdin = saved })
	f, err := os.Open(write(t, filepath.Join(dir, "in"), "include: d"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	os.Stdin = f
	c, s, err := LoadAgain(Options{Path: "-"}, Sources{})
	if err != nil || names(c.Unpack()) != "a" {
		t.Errorf("%s, %v", names(c.Unpack()), err)
	}
	if diff := cmp.Diff([]string{"d"}, s.Files); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Every error in every file is told at once, each at its place.
func TestIncludeErrors(t *testing.T) {
	dir := clean(t)
	t.Chdir(dir)
	write(t, "d/a.yaml", "log: {}\ninclude: e\nhttp: {}\nhtpt: {}\n"+wishFile("main", "a", "a"))
	write(t, "d/b.yaml", "memberships: [\n")
	write(t, "d/c.yaml", wishFile("a")+"- {}\n")
	write(t, "d/e.yaml", "[]\n")
	if err := os.Symlink("nowhere", "d/d.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("d/f.yaml", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("d/g.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, "ssmd.yaml", "include: [d, none, '*.yaml', '[', \"\", 5]\nlgo: {}\n"+wishFile("main"))
	t.Setenv("SSMD_LOG_LEVEL", "loud")
	_, err := Load(Options{Path: "ssmd.yaml"})
	const included = "not a key of a file that is included, want it in the file that includes it"
	want := `ssmd.yaml:1:14: include[1]: none: no such file or directory; a pattern may match nothing
ssmd.yaml:1:20: include[2]: "ssmd.yaml" is this file itself, want others
ssmd.yaml:1:30: include[3]: "[": a set or an escape in it has no end, want for example "*.yaml"
ssmd.yaml:1:35: include[4]: empty, want a file, a directory or a pattern, for example "memberships.d/*.yaml"
ssmd.yaml:1:39: include[5]: 5 is a number to YAML, want a file, a directory or a pattern, for example "memberships.d/*.yaml": quote it, "5"
ssmd.yaml:2:1: lgo: unknown key, did you mean "log"?
d/a.yaml:1:1: log: ` + included + `
d/a.yaml:2:1: include: ` + included + `
d/a.yaml:3:1: http: ` + included + `
d/a.yaml:4:1: htpt: unknown key, want one of defaults, memberships
d/a.yaml:6:10: memberships[0](main).name: "main" is the name of another membership, in ssmd.yaml:4, want names that differ
d/a.yaml:8:10: memberships[2](a).name: "a" is the name of another membership, on line 7, want names that differ
d/b.yaml:1: YAML: did not find expected node content, want a value, in quotes where it begins with a mark such as ":"
d/c.yaml:2:10: memberships[0](a).name: "a" is the name of another membership, in d/a.yaml:7, want names that differ
d/c.yaml:3:3: memberships[1].name: missing, want letters, digits, ".", "_" and "-"
d/c.yaml:3:3: memberships[1].interface: missing, want for example eth0, here or under defaults
d/c.yaml:3:3: memberships[1].channels: missing, want channels, for example [10.1.0.1@232.1.1.1], or groups and sources
d/d.yaml: no such file or directory
d/e.yaml:1:1: a list, want a mapping, as "memberships:"
d/f.yaml: a directory, want a file
d/g.yaml: no regular file, want one
SSMD_LOG_LEVEL: unknown level "loud", want debug, info, warn or error`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The bounds hold over all files.
func TestIncludeBounds(t *testing.T) {
	dir := clean(t)
	path := write(t, filepath.Join(dir, "ssmd.yaml"), "include: d\n")
	half := "memberships:\n- {name: %s, groups: 232.1.0.0-232.9.39.255, sources: 10.1.0.1, interface: eth0}\n" // 534,528 channels
	write(t, filepath.Join(dir, "d/a.yaml"), fmt.Sprintf(half, "a"))
	write(t, filepath.Join(dir, "d/b.yaml"), fmt.Sprintf(half, "b"))
	_, err := Load(Options{Path: path})
	if want := filepath.Join(dir, "d/b.yaml") + ":2:21: memberships[0](b).groups: more than 1000000 channels"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	write(t, filepath.Join(dir, "d/a.yaml"), strings.Repeat("#\n", maxFileSize/3))
	write(t, filepath.Join(dir, "d/b.yaml"), strings.Repeat("#\n", maxFileSize/3))
	_, err = Load(Options{Path: path})
	if want := filepath.Join(dir, "d/b.yaml") + ": all files together are larger than 16 MiB, want less"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	write(t, filepath.Join(dir, "d/a.yaml"), "memberships:\n"+strings.Repeat("- 1\n", 700))
	write(t, filepath.Join(dir, "d/b.yaml"), "memberships:\n"+strings.Repeat("- 1\n", 700))
	_, err = Load(Options{Path: path})
	if all, ok := errors.AsType[Errors](err); !ok || len(all) != maxErrors+1 {
		t.Errorf("%d errors, want %d and a word", len(all), maxErrors)
	}
}

// The sources tell what to look at, and whether it is what it was.
func TestSources(t *testing.T) {
	dir := clean(t)
	path := filepath.Join(dir, "ssmd.yaml")
	load := func() Sources {
		_, s, _ := LoadAgain(Options{Path: path}, Sources{})
		return s
	}
	digests := map[string]string{}
	var last Sources
	differs := func(what string) Sources {
		t.Helper()
		s := load()
		if was, known := digests[s.Digest]; known {
			t.Errorf("%s: as %s", what, was)
		}
		digests[s.Digest] = what
		if again := load(); again.Digest != s.Digest || !s.Current() {
			t.Errorf("%s: another digest without a change", what)
		}
		if last.Current() {
			t.Errorf("%s: it is said to be as it was", what)
		}
		last = s
		return s
	}
	s := differs("missing")
	if diff := cmp.Diff([]string{path}, s.Files); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	write(t, path, `include: ["d/*.yaml", more]`)
	s = differs("bad")
	if diff := cmp.Diff([]string{path, filepath.Join(dir, "more")}, s.Files); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	write(t, filepath.Join(dir, "more/a.yaml"), wishFile("a"))
	s = differs("good")
	if diff := cmp.Diff([]string{filepath.Join(dir, "d/*.yaml"), filepath.Join(dir, "more/*.yaml")}, s.Patterns); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	write(t, filepath.Join(dir, "d/b.yaml"), wishFile("b"))
	differs("one more")
	write(t, filepath.Join(dir, "d/b.yaml"), wishFile("c"))
	differs("another in it")
	if err := os.Rename(filepath.Join(dir, "d/b.yaml"), filepath.Join(dir, "d/c.yaml")); err != nil {
		t.Fatal(err)
	}
	differs("another name")
}
