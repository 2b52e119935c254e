package text

import (
	"os/exec"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "eth0": true, "ä 好 µ": true, `a"\b`: true, "\ufffd": true,
		"\x00": false, "a\nb": false, "a\tb": false, "\x1b[31m": false, "\x7f": false,
		"\u009b1m": false, "\u202e": false, "\u2028": false, "\xff": false,
	} {
		if got := Printable(text); got != want {
			t.Errorf("Printable(%q) = %v, want %v", text, got, want)
		}
	}
}

// What a shell makes of a word is the word.
func TestShellWord(t *testing.T) {
	for _, word := range []string{"", "eth0", "/opt/my hook", "a'b", "$(id)", "-n", "a\nb", "*", "\\", "ä", "#x", "~"} {
		got, err := exec.Command("/bin/sh", "-c", "printf %s "+ShellWord(word)).Output()
		if err != nil || string(got) != word {
			t.Errorf("%q comes to %q, %v", word, got, err)
		}
	}
	if got := ShellWord("eth0.5:x%y/z@1"); got != "eth0.5:x%y/z@1" {
		t.Errorf("%s is in quotes without need", got)
	}
}
