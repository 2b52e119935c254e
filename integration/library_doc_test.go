package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```")

// TestDocumentedGo holds that each line of Go in the README and in the library's
// page stands in an example, which compiles.
func TestDocumentedGo(t *testing.T) {
	t.Parallel()
	examples := make(map[string]bool)
	for _, pattern := range []string{"../membership/example_test.go", "../membership/membershiptest/example_test.go", "../examples/*/*.go"} {
		files, err := filepath.Glob(pattern)
		ok(t, err)
		if len(files) == 0 {
			t.Errorf("no file is %s", pattern)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			ok(t, err)
			for line := range strings.Lines(string(text)) {
				examples[strings.Join(strings.Fields(line), " ")] = true
			}
		}
	}
	for _, path := range []string{"../README.md", "../docs/library.md"} {
		text, err := os.ReadFile(path)
		ok(t, err)
		blocks := goBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no Go", path)
		}
		for _, block := range blocks {
			for line := range strings.Lines(block[1]) {
				if line := strings.Join(strings.Fields(line), " "); line != "" && !examples[line] {
					t.Errorf("%s: no example has %q", path, line)
				}
			}
		}
	}
}
