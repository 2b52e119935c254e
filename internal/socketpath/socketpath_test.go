package socketpath

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for path, want := range map[string]string{
		Default:                    "",
		"s":                        "",
		strings.Repeat("x", 107):   "",
		strings.Repeat("x", 108):   "108 bytes long, want a path of at most 107",
		"":                         "empty, want a path, for example /run/ssmd/control.sock",
		"@x":                       `"@x" is an abstract socket`,
		"/tmp/a\n":                 `"/tmp/a\n" has a character`,
		"/tmp/\xff":                `"/tmp/\xff" has a character`,
		"/tmp/with space/and.dots": "",
	} {
		err := Validate(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %v, want %s", path, err, want)
		}
	}
}
