// Package config reads the daemon's configuration: one YAML file, read
// strictly, under environment variables and flags for the daemon's own
// settings.
//
// [Load] finds, reads and checks; [Parse] is its pure part. Every error in a
// file is found in one reading and says where it is and what would be right.
// Nothing here watches files or changes anything: a caller that reads the file
// again does so with [LoadAgain], which spares what is as before, and compares the
// two results with [Compare].
//
// # The file
//
//	log: {level: info, format: text}       # debug|info|warn|error, text|json
//	control: {socket: /run/ssmd/control.sock, mode: "0660", group: ""}
//	defaults:                              # any key of a membership but name, channels, groups, sources
//	  require: [up]
//	memberships:
//	  - name: feed-a
//	    groups: [232.1.1.1, 232.1.2.0/28, 232.1.3.1-232.1.3.9]
//	    sources: [10.1.0.1]                # every source with every group
//	    interface: eth0                    # short for {name: eth0}
//	  - name: feed-b
//	    channels: [10.1.0.1@232.2.0.1, 2001:db8::1@ff3e::8000:1]
//	    interface: {name: "ens*", kind: physical, subnet: 10.1.0.0/16}
//	    attach: one                        # one | all
//	    ambiguous: hold                    # hold | oldest | newest
//	    require: [up, carrier, address]
//	    reattach: {policy: same, same: [mac, subnet]} # match | same | approve | never
//	    on_change: keep                    # keep | leave
//
// A single value stands for a list of one. Channels, and the pairs of groups
// and sources, may both be given: the membership has all of them. A prefix
// among the groups means every address in it, the first and the last too.
//
// A membership's own key replaces the default's, whole. Only reattach is taken
// key by key: a membership that names another policy than same does not
// inherit the list of same, and one that gives only that list keeps the
// default's policy.
//
// A string that YAML takes for a number, a date or nothing has to be quoted,
// as has a glob that begins with "*" or "!"; vlan_id and link_group may be
// plain decimal numbers. A mode is octal: "0660" in quotes, or 0660 without;
// 660 without quotes is refused, for YAML reads it as a decimal number.
// Anchors and aliases are read, merge keys ("<<") are refused.
//
// # What overrides the file
//
// A flag is stronger than an environment variable (SSMD_LOG_LEVEL,
// SSMD_LOG_FORMAT, SSMD_CONTROL_SOCKET, SSMD_CONTROL_MODE,
// SSMD_CONTROL_GROUP; an empty one counts as unset), that is stronger than the
// file, and the file is stronger than the defaults. Memberships come from the
// file alone.
package config
