package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// legacyPrograms are those that print and change the older tables of a family,
// and the list of the tables that are in use in a network namespace.
var legacyPrograms = []struct {
	family ifwatch.Family
	list   string
	names  []string // of the programs, without "-save"; the first that is there
}{
	{ifwatch.IPv4, "/proc/thread-self/net/ip_tables_names", []string{"iptables-legacy", "iptables"}},
	{ifwatch.IPv6, "/proc/thread-self/net/ip6_tables_names", []string{"ip6tables-legacy", "ip6tables"}},
}

// readLegacy asks the program only where tables are in use: otherwise it would
// load the modules that make them.
func readLegacy() ([]legacyTable, error) {
	var tables []legacyTable
	var errs []error
	for _, l := range legacyPrograms {
		inUse, err := os.ReadFile(l.list)
		switch {
		case errors.Is(err, fs.ErrNotExist): // the kernel has none
		case errors.Is(err, fs.ErrPermission):
			errs = append(errs, fmt.Errorf("list tables of iptables: %w (needs root)", err))
		case err != nil:
			errs = append(errs, fmt.Errorf("list tables of iptables: %w", err))
		case len(bytes.TrimSpace(inUse)) > 0:
			read, err := saveLegacy(l.family, l.names)
			tables = append(tables, read...)
			errs = append(errs, err)
		}
	}
	return tables, errors.Join(errs...)
}

// saveLegacy runs the program in the namespace of the calling thread.
func saveLegacy(f ifwatch.Family, names []string) ([]legacyTable, error) {
	for _, name := range names {
		path, err := exec.LookPath(name + "-save")
		if err != nil {
			continue
		}
		out, err := exec.Command(path).Output()
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", path, err)
		}
		return parseLegacy(string(out), f, name), nil
	}
	return nil, fmt.Errorf("tables of iptables are in use, and there is no %s-save to read them", strings.Join(names, "-save, "))
}
