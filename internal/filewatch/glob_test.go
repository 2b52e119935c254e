package filewatch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// put writes a file, with its directories.
func put(t *testing.T, path, text string) {
	t.Helper()
	ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
	ok(t, os.WriteFile(path, []byte(text), 0o644))
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestExpand(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"d/b.yaml", "d/a.yaml", "d/.h.yaml", "d/a.yaml~", "e/x/a.yaml", "e/.x/a.yaml", "a.yaml", "*.yaml"} {
		put(t, path, "")
	}
	ok(t, os.Symlink("nowhere", "d/l.yaml"))
	tests := []struct {
		pattern string
		want    []string
	}{
		{"d/*.yaml", []string{"d/a.yaml", "d/b.yaml", "d/l.yaml"}},
		{"./d//b*", []string{"d/b.yaml"}},
		{"d/.*", []string{"d/.h.yaml"}},
		{"e/*/*", []string{"e/x/a.yaml"}},
		{"d/../e/[xy]/a.yaml", []string{"e/x/a.yaml"}},
		{"*.yaml", []string{"*.yaml", "a.yaml"}},
		{`\*.yaml`, []string{"*.yaml"}},
		{Escape("*.yaml"), []string{"*.yaml"}},
		{"none/*", nil},
		{"a.yaml/*", nil},
		{"none", nil},
	}
	for _, tt := range tests {
		got, err := Expand(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.pattern, diff)
		}
	}
	here, err := os.Getwd()
	ok(t, err)
	if got, err := Expand(here + "/d/b*"); err != nil || len(got) != 1 || got[0] != filepath.Join(here, "d/b.yaml") {
		t.Errorf("absolute: %v, %v", got, err)
	}
	ok(t, os.Chmod("d", 0o300))
	defer func() { ok(t, os.Chmod("d", 0o700)) }() // else it cannot be removed
	if _, err := Expand("d/*"); os.Geteuid() != 0 && (err == nil || !strings.Contains(err.Error(), "permission denied")) {
		t.Errorf("a directory that cannot be read: %v", err)
	}
}

func TestValidatePattern(t *testing.T) {
	for _, bad := range []string{"[", "a/[b", `a\`} {
		if ValidatePattern(bad) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	for _, good := range []string{"a", "*.yaml", "[ab]?", `\*`} {
		if err := ValidatePattern(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
