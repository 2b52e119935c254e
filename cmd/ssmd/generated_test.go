package main

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/internal/manual"
)

var update = flag.Bool("update", false, "write the generated files anew")

// exampleFile is the file that the packages bring, and the manual shows.
const exampleFile = "../../packaging/ssmd.yaml"

// TestGenerated holds that the manual pages and the schema are those of this
// program.
func TestGenerated(t *testing.T) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{
		"../../packaging/man/ssmd.8":      manual.Commands(newRoot()),
		"../../packaging/man/ssmd.yaml.5": manual.File(config.Keys(), string(example)),
		"../../schema/ssmd.schema.json":   config.Schema(),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not current, run make generate (-want +got):\n%s", path, diff)
		}
	}
}

// The packages' file is good, and does nothing before it is edited.
func TestExampleFile(t *testing.T) {
	c, err := config.Load(config.Options{Path: exampleFile})
	if err != nil || len(c.Memberships) != 0 {
		t.Errorf("%d memberships, %v", len(c.Memberships), err)
	}
}
