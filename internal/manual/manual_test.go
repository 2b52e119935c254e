package manual

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
)

func hard() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "Do things", Long: "First. Second line\n.Not a macro\n'nor this, nor C:\\d\n\n  kept  as it is\n\nAfter it.\n\nExit codes: 0."}
	below := &cobra.Command{Use: "Ar NAME", Short: "Named like a macro", Example: "  tool Ar -x\n  .Ed", Run: func(*cobra.Command, []string) {}}
	below.Flags().StringP("Fl", "x", "", "a `\"quoted\" Fl` to take")
	below.Flags().Bool("hidden", false, "not shown")
	_ = below.Flags().MarkHidden("hidden") // it is there
	root.AddCommand(below, &cobra.Command{Use: "nothing", Hidden: true, Run: func(*cobra.Command, []string) {}})
	return root
}

func TestCommands(t *testing.T) {
	const want = `.Sh NAME
.Nm tool
.Nd do things
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar argument ...
.Sh DESCRIPTION
First.
Second line
\&.Not a macro
\&'nor this, nor C:\ed
.Bd -literal -offset indent
kept  as it is
.Ed
.Pp
After it.
.Sh COMMANDS
.Ss "\&tool Ar NAME"
Named like a macro.
.Bl -tag -width Ds
.It Fl x , Fl Fl Fl Ar "\&\(dqquoted\(dq Fl"
A "quoted" Fl to take.
.El
.Bd -literal -offset indent
tool Ar \-x
\&.Ed
.Ed
.Sh ENVIRONMENT
`
	_, got, _ := strings.Cut(string(Commands(hard())), ".Os Linux\n")
	if end := strings.Index(got, ".Sh ENVIRONMENT\n"); end >= 0 {
		got = got[:end] + ".Sh ENVIRONMENT\n"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFile(t *testing.T) {
	got := string(File(config.Keys(), "memberships: []\n"))
	for _, want := range []string{
		"\n.Ss \"\\&control.mode\"\nThe permissions of the control socket.\n.Pp\nTakes octal permission bits in quotes.\nDefault: \"0660\".\nFlag \\-\\-control\\-mode, variable SSMD_CONTROL_MODE.\n",
		"\n.Ss \"\\&memberships[].reattach.limit.count\"\n", "\n.Ss \"\\&memberships[].interface.vlan_id\"\n",
		"\n.Bd -literal -offset indent\nmemberships: []\n.Ed\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "defaults.") {
		t.Error("the keys of memberships are said twice")
	}
}

// A reader of mdoc other than groff has nothing to say of either.
func TestLint(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("no mandoc here: Debian's package mandoc has it")
	}
	for name, text := range map[string][]byte{"ssmd.8": Commands(hard()), "ssmd.yaml.5": File(config.Keys(), "{}")} {
		c := exec.Command(mandoc, "-Tlint", "-Wwarning")
		c.Stdin = strings.NewReader(string(text))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
