package main

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/membership"
)

func newInterfacesCommand() *cobra.Command {
	var asJSON bool
	c := client(&cobra.Command{
		Use:   "interfaces",
		Short: "Print the interfaces as the daemon sees them",
		Long:  "Print the interfaces as the daemon sees them. An instance is one life of an\ninterface: one that is re-created is another instance, also on the same index.",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			interfaces, err := newClient(c).Interfaces(c.Context())
			if err != nil {
				return err
			}
			return output(c, func(w io.Writer) error {
				if asJSON {
					return printJSON(w, interfaces)
				}
				return printInterfaces(w, interfaces)
			})
		},
	})
	jsonFlag(c, &asJSON)
	return c
}

// printInterfaces writes a table, a line an interface instance.
func printInterfaces(w io.Writer, interfaces []membership.InterfaceStatus) error {
	heading := []string{"IFINDEX", "NAME", "INSTANCE", "KIND", "FLAGS", "MTU", "MAC", "ADDRESSES", "ALIAS"}
	elsewhere := slices.ContainsFunc(interfaces, func(i membership.InterfaceStatus) bool { return i.Netns != "" })
	if elsewhere {
		heading = append(heading, "NETNS")
	}
	t := newTable(w, heading...)
	for _, i := range interfaces {
		row := []string{strconv.Itoa(i.Index), i.Name, strconv.FormatUint(uint64(i.ID), 10), i.Kind, flags(i), strconv.Itoa(i.MTU), i.MAC, addresses(i), i.Alias}
		if elsewhere {
			row = append(row, i.Netns)
		}
		t.row(row...)
	}
	return t.flush()
}

// flags names what an interface has of what a join may need, and what stands
// in its way.
func flags(i membership.InterfaceStatus) string {
	all := []struct {
		name string
		on   bool
	}{{"up", i.Up}, {"carrier", i.Carrier}, {"multicast", i.Multicast}, {"no-ipv4", !i.IPv4.Alive}, {"no-ipv6", !i.IPv6.Alive}, {"drained", i.Drained}}
	var names []string
	for _, flag := range all {
		if flag.on {
			names = append(names, flag.name)
		}
	}
	return strings.Join(names, ",")
}

func addresses(i membership.InterfaceStatus) string {
	texts := make([]string, len(i.Addresses))
	for n, a := range i.Addresses {
		texts[n] = a.Prefix.String()
		if a.Tentative {
			texts[n] += "(tentative)"
		}
	}
	return strings.Join(texts, ",")
}
