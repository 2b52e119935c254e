package manual

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/internal/socketpath"
)

// Commands returns ssmd(8): the commands below root, in their order, each with
// its flags.
func Commands(root *cobra.Command) []byte {
	p := newPage(root.Name(), "8", lowerFirst(root.Short))
	p.section("SYNOPSIS")
	p.macro("Nm")
	p.macro("Ar", "command")
	p.macro("Op", "Ar", "argument ...")
	p.section("DESCRIPTION")
	about, _, _ := strings.Cut(root.Long, "\n\nExit codes")
	p.paragraphs(about)
	p.section("COMMANDS")
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "help":
		case c.Name() == "completion": // whose words are cobra's
			p.macro("Ss", word(c.CommandPath()+" bash|zsh|fish"))
			p.line("Print the completions for a shell. Packages bring them along.")
		case c.IsAvailableCommand():
			p.command(c)
		}
	}
	p.section("ENVIRONMENT")
	p.line("Each is stronger than the file, and a flag is stronger than each. An empty one counts as not set.")
	p.list(variables())
	p.section("FILES")
	p.list([]entry{
		{"Pa /etc/ssmd/ssmd.yaml", "The configuration, see ssmd.yaml(5). A file ~/.config/ssmd/ssmd.yaml is taken instead where there is one."},
		{"Pa " + socketpath.Default, "The control socket."},
		{"Pa " + config.DefaultStateDir, "What the daemon keeps over a restart."},
	})
	p.section("EXIT STATUS")
	p.list([]entry{
		{"0", "It is good."},
		{"1", "It failed."},
		{"2", "The words were wrong."},
		{"3", "status NAME, wait: the membership is not as wished."},
	})
	p.section("SEE ALSO")
	p.macro("Xr", "systemctl", "1", ",")
	p.macro("Xr", "ssmd.yaml", "5", ",")
	p.macro("Xr", "ip", "8")
	p.section("STANDARDS")
	p.line("RFC 4607, Source-Specific Multicast for IP.")
	return p.text.Bytes()
}

// command writes what is to say of one command, and of those below it.
func (p *page) command(c *cobra.Command) {
	p.macro("Ss", word(useLine(c)))
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	p.paragraphs(text)
	var flags []entry
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, flag(f))
		}
	})
	p.list(flags)
	if c.Example != "" {
		p.literal(c.Example)
	}
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			p.command(below)
		}
	}
}

// useLine is how a command is called, without the word for its flags.
func useLine(c *cobra.Command) string { return strings.TrimSuffix(c.UseLine(), " [flags]") }

func flag(f *pflag.Flag) entry {
	argument, usage := pflag.UnquoteUsage(f)
	term := "Fl Fl " + escape(f.Name)
	if f.Shorthand != "" {
		term = "Fl " + f.Shorthand + " , " + term
	}
	if argument != "" {
		term += " Ar " + word(argument)
	}
	return entry{term, sentence(usage)}
}

// variables are the daemon's settings as the environment has them.
func variables() []entry {
	var all []entry
	add := func(k config.Key) {
		if k.Variable != "" {
			all = append(all, entry{"Ev " + k.Variable, k.Doc})
		}
	}
	for _, k := range config.Keys() {
		add(k)
		for _, below := range k.Below {
			add(below)
		}
	}
	return all
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }
