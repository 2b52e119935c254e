package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/config"
)

const modulePath = "github.com/ssmd-project/ssmd"

// rank orders the packages: none imports one of a higher rank, and none but
// the library's of its own.
func rank(path string) int {
	switch local := strings.TrimPrefix(path, modulePath+"/"); {
	case local == "ifwatch":
		return 0
	case local == "reattach", local == "membership/internal/hook":
		return 1
	case local == "membership":
		return 2
	case local == "config", local == "control", local == "handoff", local == "membership/membershiptest", strings.HasPrefix(local, "internal/"):
		return 3
	}
	return 4
}

// notInLibrary are what whoever embeds the library must not have to carry.
var notInLibrary = regexp.MustCompile(`yaml|viper|cobra|pflag|prometheus`)

// notInDaemon are what only tests need: gopacket alone is 5 MB of tables, in
// the memory of every daemon that links it.
var notInDaemon = regexp.MustCompile(`gopacket|internal/testnet/wire`)

// unwelcome returns what a package must not depend on, nor anything that it
// imports; nil where there is no such rule.
func unwelcome(path string) *regexp.Regexp {
	switch {
	case rank(path) <= 2:
		return notInLibrary
	case strings.HasPrefix(path, modulePath+"/cmd/"):
		return notInDaemon
	}
	return nil
}

// TestImportRule holds that ifwatch <- reattach <- membership <- {config,
// control, handoff, internal} <- cmd, that the first three stay a library, and that the
// daemon links nothing that only tests need.
func TestImportRule(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}|{{join .Deps " "}}`, modulePath+"/...").Output()
	ok(t, err)
	for line := range strings.Lines(string(out)) {
		imports, deps, _ := strings.Cut(strings.TrimSpace(line), "|")
		words := strings.Fields(imports)
		path := words[0]
		for _, imported := range words[1:] {
			if strings.HasPrefix(imported, modulePath) && rank(imported) > rank(path) {
				t.Errorf("%s imports %s, which stands to its right", path, imported)
			}
		}
		never := unwelcome(path)
		if never == nil {
			continue
		}
		for _, dep := range strings.Fields(deps) {
			if never.MatchString(dep) {
				t.Errorf("%s depends on %s, which must not be in it", path, dep)
			}
		}
	}
}

// documents are the README and everything in docs.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	paths, err := filepath.Glob("../docs/*.md")
	ok(t, err)
	more, err := filepath.Glob("../docs/*/*.md")
	ok(t, err)
	for _, path := range append(append(paths, more...), "../README.md") {
		text, err := os.ReadFile(path)
		ok(t, err)
		texts[path] = string(text)
	}
	return texts
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// TestDocumentedYAML parses every YAML block of the documents as a whole file.
// A block that is only part of one is marked as a fragment.
func TestDocumentedYAML(t *testing.T) {
	t.Parallel()
	blocks := 0
	for path, text := range documents(t) {
		for _, block := range yamlBlock.FindAllStringSubmatch(text, -1) {
			blocks++
			if _, err := config.Parse(path, []byte(block[1])); err != nil {
				t.Errorf("%v\nin\n%s", err, block[1])
			}
		}
	}
	if blocks == 0 {
		t.Error("no YAML block found in any document")
	}
}

var testName = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")

// TestDocumentedTestsExist holds that each test which a document names is
// there.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	files, err := filepath.Glob("*_test.go")
	ok(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		ok(t, err)
		sources.Write(text)
	}
	for path, text := range documents(t) {
		for _, name := range testName.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(sources.String(), "func "+name[1]+"(") {
				t.Errorf("%s names %s, which is not in integration/", path, name[1])
			}
		}
	}
}
