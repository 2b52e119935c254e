package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/internal/text"
	"github.com/ssmd-project/ssmd/membership"
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

// doctor is the command that examines a subject again; of channels that were
// given it names one.
func (s Subject) doctor(flags string, one membership.Channel) string {
	command := "doctor " + flags
	if s.Port != 0 && s.Membership == "" { // that of a membership's monitor is known anyway
		command += fmt.Sprint(" --port ", s.Port)
	}
	switch {
	case s.Membership != "":
		return ssmd(command, s.Membership)
	case s.Entry != "":
		return ssmd(command+" -c "+quote(s.File), s.Entry)
	default:
		return ssmd(command, one.String()+"%"+s.Interface)
	}
}

// askAt has the commands that ask the daemon say where its control socket is.
func askAt(socket string, findings []Finding) {
	if socket == "" {
		return
	}
	for _, f := range findings {
		for n, command := range f.Mend {
			words := strings.SplitN(command, " ", 3)
			if words[0] == "ssmd" && words[1] != "run" {
				f.Mend[n] = strings.Join(slices.Insert(words, 2, "--socket "+quote(socket)), " ")
			}
		}
	}
}

// quote makes a word of a command of a name.
func quote(name string) string { return text.ShellWord(name) }
