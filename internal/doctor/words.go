package doctor

import (
	"fmt"
	"strings"

	"github.com/ssmd-project/ssmd/internal/text"
)

// some names the first of several things, and counts the others.
func some[T fmt.Stringer](all []T) string {
	switch len(all) {
	case 0:
		return "none"
	case 1:
		return all[0].String()
	}
	return fmt.Sprintf("%s and %d more", all[0], len(all)-1)
}

// toHear is what lets an interface be listened to.
const toHear = "It takes an interface that is up, CAP_NET_RAW, as root has, and a --wait that is not 0."

// sprintf is fmt.Sprintf, of formats that are no constants.
func sprintf(format string, values ...any) string { return fmt.Sprintf(format, values...) }

// ssmd is a command of ours about a name, which may look like a flag.
func ssmd(command, name string) string {
	if strings.HasPrefix(name, "-") {
		command += " --"
	}
	return "ssmd " + command + " " + quote(name)
}

// quote makes a word of a command of a name.
func quote(name string) string { return text.ShellWord(name) }
