package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/internal/importer"
	"github.com/ssmd-project/ssmd/membership"
)

type importOptions struct {
	interfaces []string
	duplicates []string // interfaces of second legs; none: as the first
	prefix     string
	output     string
	reading    importer.Options
}

func newImportCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import FILE|ADDRESS|-... --interface IF [flags]",
		Short: "Make memberships of SDP files, playlists and addresses",
		Long: `Print the memberships that SDP files, M3U playlists and addresses ask for, as a
configuration file. What could not be understood is told on standard error, by
its line, and the exit code is 1 then; what was understood is printed all the
same. "-" is standard input.`,
		Example: `  ssmd import camera.sdp --interface eth0
  ssmd import rtp://10.1.0.1@232.1.1.1:5004 --interface eth0 --monitor
  ssmd import st2110.sdp --interface red0 --dup-interface blue0 -o /etc/ssmd/memberships.d/st2110.yaml
  curl -s http://camera/stream.sdp | ssmd import - --interface kind=physical`,
		RunE: func(c *cobra.Command, args []string) error { return runImport(c, args, o) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&o.interfaces, "interface", nil, "where to join: a name, or an `attribute=pattern` as kind=veth; may be given again")
	flags.StringArrayVar(&o.duplicates, "dup-interface", nil, "where to join what sends the same once more (SMPTE ST 2022-7), `as --interface`, which holds for these too unless this is given")
	flags.StringVar(&o.prefix, "prefix", "", "`text` in front of each name")
	flags.StringVarP(&o.output, "output", "o", "", "write to a new `file`; one that is there is left alone, and the import fails")
	flags.BoolVar(&o.reading.Origin, "origin", false, "where no filter names the source, take the address in o=, if that is the sender's")
	flags.BoolVar(&o.reading.Monitor, "monitor", false, "have the streams monitored, on the ports and as RTP where that is said")
	flags.SortFlags = false
	return c
}

func runImport(c *cobra.Command, args []string, o importOptions) error {
	switch {
	case len(args) == 0:
		return wrongWords(c, "nothing to import: want a FILE, an ADDRESS as rtp://10.1.0.1@232.1.1.1:5004, or -")
	case len(o.interfaces) == 0:
		return wrongWords(c, "--interface is missing: no stream says where it is to be joined")
	case o.prefix != "" && membership.ValidateName(o.prefix) != nil:
		return wrongWords(c, "--prefix: %q cannot begin a name", o.prefix)
	}
	names := &importer.Names{Prefix: o.prefix}
	var entries []importer.Entry
	var flaws []importer.Flaw
	for _, from := range args {
		feeds, more, err := readFeeds(c, from, o.reading)
		if err != nil {
			return err
		}
		flaws = append(flaws, more...)
		for _, f := range feeds {
			entries = append(entries, o.reading.NewEntry(names.Next(f), f, selectorOf(o.selectorTexts(f))))
		}
	}
	if err := o.write(c, entries); err != nil {
		return err
	}
	return printUnread(c, flaws)
}

func (o importOptions) selectorTexts(f importer.Feed) []string {
	if f.Leg > 0 && len(o.duplicates) > 0 {
		return o.duplicates
	}
	return o.interfaces
}

// readFeeds reads a file, an address, or standard input.
func readFeeds(c *cobra.Command, from string, o importer.Options) ([]importer.Feed, []importer.Flaw, error) {
	reader, name := c.InOrStdin(), fileName(from)
	scheme, _, isAddress := strings.Cut(from, "://")
	switch {
	case isAddress && (scheme == "http" || scheme == "https"):
		return nil, nil, wrongWords(c, "%s: nothing is fetched, want: curl %s | %s -", from, from, c.CommandPath())
	case isAddress:
		feeds, flaws := importer.ParseAddress(from, o)
		return feeds, flaws, nil
	case from != "-":
		f, err := os.Open(from)
		if err != nil {
			return nil, nil, err
		}
		defer f.Close()
		reader = f
	}
	data, err := io.ReadAll(io.LimitReader(reader, importer.MaxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	feeds, flaws := importer.Parse(name, data, o)
	return feeds, flaws, nil
}

// write prints the memberships, or makes a file of them. What ssmd would not
// read is not written: an attribute of the interface may be wrong.
func (o importOptions) write(c *cobra.Command, entries []importer.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	text, err := importer.YAML(entries)
	if err != nil {
		return err
	}
	if _, err := config.Parse("", text); err != nil {
		return fmt.Errorf("the memberships are not good: %w", err)
	}
	if o.output == "" {
		return output(c, func(w io.Writer) error { _, err := w.Write(text); return err })
	}
	return createWhole(o.output, text)
}

// printUnread tells what was not understood, and fails if there is any.
func printUnread(c *cobra.Command, flaws []importer.Flaw) error {
	for _, f := range flaws {
		if _, err := fmt.Fprintln(c.ErrOrStderr(), printable(f.Error())); err != nil {
			return err
		}
	}
	if len(flaws) == 0 {
		return nil
	}
	return fmt.Errorf("%s not understood", plural(len(flaws), "place"))
}
