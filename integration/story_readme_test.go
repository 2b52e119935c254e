package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```")

// elsewhere are the README's commands that are run by the tests of the demo,
// by whoever runs these tests, or by nobody without a network.
var elsewhere = map[string]bool{
	"go run ./cmd/ssmd demo": true,
	"go test ./...":          true,
	"go install github.com/ssmd-project/ssmd/cmd/ssmd@latest": true,
}

// The README's commands do what they are there for, with the README's file, in
// one shell, in a namespace that has an eth0.
func storyReadme(t *testing.T, program string) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	ok(t, err)
	dir := t.TempDir()
	file := yamlBlock.FindSubmatch(readme)
	if file == nil {
		t.Fatal("the README has no file")
	}
	ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), file[1], 0o644))

	script := []string{"set -e", "trap 'kill $daemon && wait $daemon' EXIT"}
	for _, block := range consoleBlock.FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(string(block[1])) {
			command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			switch {
			case !isCommand || elsewhere[command]:
				continue
			case strings.HasPrefix(command, "ssmd run "):
				command += " & daemon=$!"
			case strings.HasPrefix(command, "export "): // a test types faster than the daemon starts
				command += "; ssmd wait feed-a --timeout 10s"
			}
			// What the README changes in /tmp, the test changes in its own.
			script = append(script, strings.ReplaceAll(command, "/tmp/", dir+"/"))
		}
	}
	l := newNetwork(t)
	shell := exec.CommandContext(patience(t), "sh", "-c", strings.Join(script, "\n"))
	shell.Dir, shell.WaitDelay = dir, time.Second
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	var said strings.Builder
	shell.Stdout, shell.Stderr = &said, &said
	ok(t, l.Near.Start(shell))
	if err := shell.Wait(); err != nil || !strings.Contains(said.String(), "feed-a") {
		t.Errorf("%v\n%s\nsaid\n%s", err, strings.Join(script, "\n"), said.String())
	}
}
