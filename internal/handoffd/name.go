package handoffd

import (
	"fmt"
	"os"
	"strings"
)

// unnamed stands for a program whose name is not to be had.
const unnamed = "process"

// commandOf returns the name of a process, as proc_pid_comm(5) has it, with what
// the name of a membership cannot have replaced. It is as good as the process's
// word.
func commandOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	name := strings.TrimSuffix(string(text), "\n")
	if err != nil || name == "" {
		return unnamed
	}
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name)
}
