package config

import (
	"github.com/ssmd-project/ssmd/membership"
)

// EntryKeys returns the paths of the keys that a membership may have, as
// "reattach.policy", in the order of the documentation. A mapping whose keys
// are of one kind, as those of interface, is one key.
func EntryKeys() []string {
	var paths []string
	for _, key := range membershipKeys().known {
		if key != "reattach" {
			paths = append(paths, key)
			continue
		}
		for _, below := range reattachKeys().known {
			paths = append(paths, key+"."+below)
		}
	}
	return paths
}

// Entry is one membership with its monitor, whose port is zero where it has none.
type Entry struct {
	membership.Membership
	Monitor Monitor
}

// ParseEntry reads one membership as it stands in a file's list, without the
// dash, in YAML or JSON; source is what to call it in errors. Where it does not
// say its name, this is it, unless that is empty. It inherits nothing. The error
// is an Errors.
func ParseEntry(source, name string, data []byte) (Entry, error) {
	root, err := document(source, data)
	if err != nil {
		return Entry{}, err
	}
	if root == nil {
		return Entry{}, Errors{{File: source, Message: "empty, want a membership"}}
	}
	r := newReader(source, len(data))
	m := r.membership(root, nil, wish{Membership: membership.Membership{Name: name}})
	if len(r.errs) == 0 {
		if err := m.Validate(); err != nil {
			r.fail(deref(root), nil, "%s", onOneLine(err))
		}
	}
	r.errs.sort()
	if err := r.errs.orNil(); err != nil {
		return Entry{}, err
	}
	return Entry{m, r.monitors[m.Name]}, nil
}
