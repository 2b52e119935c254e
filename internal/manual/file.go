package manual

import (
	"strings"

	"github.com/ssmd-project/ssmd/config"
)

// File returns ssmd.yaml(5): the keys of the file, in their order, and an
// example.
func File(keys []config.Key, example string) []byte {
	p := newPage("ssmd.yaml", "5", "configuration of ssmd")
	p.section("DESCRIPTION")
	p.paragraphs(`The file says which channels to join, on which interface, and which interface may take the place of one that is gone.
It is YAML, read strictly: an unknown key, a wrong type, a repeated name are errors, and "ssmd check" reports all of them.
Where a list is expected, a single value may stand alone.
A time is a number with its unit, as 200ms, 10s or 1h30m.

The file is /etc/ssmd/ssmd.yaml; see "ssmd run" in ssmd(8) for others.
It is read anew when it changes, at SIGHUP, and when "ssmd reload" asks for it; where anything in it is wrong, everything stays as it is.`)
	p.section("KEYS")
	p.keys("", keys)
	p.section("EXAMPLES")
	p.literal(example)
	p.section("SEE ALSO")
	p.macro("Xr", "ssmd", "8")
	return p.text.Bytes()
}

// keys writes a list of keys, and those below each. What defaults takes is
// said at the memberships.
func (p *page) keys(above string, keys []config.Key) {
	for _, k := range keys {
		path := strings.TrimPrefix(above+"."+k.Name, ".")
		p.macro("Ss", word(path))
		p.paragraphs(k.Doc)
		p.macro("Pp")
		p.line("Takes " + k.Values + ".")
		switch {
		case k.Default != "":
			p.line("Default: " + k.Default + ".")
		case k.Name == "name" && above == "memberships[]":
			p.line("It has to be there.")
		}
		if k.Variable != "" {
			p.line("Flag --" + k.Flag + ", variable " + k.Variable + ".")
		}
		switch k.Name {
		case "defaults":
			p.line("The keys are those of memberships[], but for name, channels, groups and sources.")
		case "memberships":
			p.keys("memberships[]", k.Below)
		default:
			p.keys(path, k.Below)
		}
	}
}
