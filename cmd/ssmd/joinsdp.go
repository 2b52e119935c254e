package main

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/internal/importer"
)

// joinDescribed adds a membership for each medium of an SDP file. What is in the
// way of one does not keep the others away.
func (o joinOptions) joinDescribed(c *cobra.Command, args []string) error {
	for _, flag := range []string{"channels", "groups", "sources", "allow-any-range"} {
		if c.Flags().Changed(flag) {
			return wrongWords(c, "--%s: with --sdp the file says it", flag)
		}
	}
	if o.file != "" || len(args) > 0 {
		return wrongWords(c, "--sdp is given with another way to say what to join, want one of them")
	}
	feeds, flaws, err := readFeeds(c, o.sdp, importer.Options{})
	if err != nil {
		return err
	}
	keys := o.flags()
	name, named := keys["name"].(string)
	if named && len(feeds) > 1 {
		return wrongWords(c, "--name: %s has %s, which need names of their own", fileName(o.sdp), plural(len(feeds), "stream"))
	}
	names := &importer.Names{}
	var failure error
	for _, f := range feeds {
		if !named {
			name = names.Next(f)
		}
		if err := o.joinFeed(c, name, f, keys); err != nil {
			failure = fmt.Errorf("%s: %w", name, err)
			break // the next one would meet the same
		}
	}
	if err := printUnread(c, flaws); failure == nil {
		failure = err
	}
	return failure
}

func (o joinOptions) joinFeed(c *cobra.Command, name string, f importer.Feed, keys map[string]any) error {
	entry := maps.Clone(keys)
	described := importer.Options{}.NewEntry(name, f, nil)
	entry["name"], entry["channels"], entry["allow_any_range"] = name, described.Channels, described.AnyRange
	text, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	status, err := newClient(c).Put(c.Context(), name, text, o.keep())
	if err != nil {
		return byKeys(err, "")
	}
	return printChanged(c, status, o.asJSON)
}
