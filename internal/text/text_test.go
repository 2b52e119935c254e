package text

import "testing"

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
