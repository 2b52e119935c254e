package handoff

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The C client reads whatever it is told without a fault, and compiles
// without a warning.
func TestC(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		if os.Getenv("SSMD_NO_SKIP") == "1" {
			t.Fatalf("no C compiler: %v", err)
		}
		t.Skipf("no C compiler: %v", err)
	}
	program := filepath.Join(t.TempDir(), "check")
	words := []string{"-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-g", "-o", program, "c/check.c", "c/ssmd_handoff.c"}
	if exec.Command("cc", append([]string{"-fsanitize=address,undefined"}, words...)...).Run() != nil {
		if out, err := exec.Command("cc", words...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
