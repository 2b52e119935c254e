package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what the binary knows of its making.
type versionInfo struct {
	Version  string `json:"version"` // of the module, "(devel)" where it was built from a working tree
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return output(c, func(w io.Writer) error {
				if asJSON {
					return printJSON(w, buildVersion())
				}
				return printVersion(w, buildVersion())
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func printVersion(w io.Writer, v versionInfo) error {
	revision := ""
	if v.Revision != "" {
		revision = ", revision " + v.Revision
	}
	if v.Modified {
		revision += " with changes"
	}
	_, err := fmt.Fprintf(w, "ssmd %s (%s, %s%s)\n", v.Version, v.Go, v.Platform, revision)
	return err
}
