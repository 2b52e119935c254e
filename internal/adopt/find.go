package adopt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Selection says which processes are meant: exactly one of these.
type Selection struct {
	PID  int    `json:"pid,omitempty"`
	Unit string `json:"unit,omitempty"` // of systemd; a name without a suffix is a service's
	Name string `json:"name,omitempty"` // of the process, or the base name of its executable
}

// Validate returns an error where not exactly one is given, or it can be none.
func (s Selection) Validate() error {
	given := 0
	for _, is := range []bool{s.PID != 0, s.Unit != "", s.Name != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("want one of pid, unit and name")
	case s.PID < 0:
		return fmt.Errorf("pid: %d is no process", s.PID)
	case strings.ContainsAny(s.Unit, "/\x00\n"):
		return fmt.Errorf("unit: %q is no name of a unit", s.Unit)
	case strings.ContainsAny(s.Name, "/\x00\n"):
		return fmt.Errorf("name: %q is no name of a process, want one as ps shows it", s.Name)
	}
	return nil
}

func (s Selection) String() string {
	switch {
	case s.PID != 0:
		return fmt.Sprintf("process %d", s.PID)
	case s.Unit != "":
		return "unit " + s.unit()
	}
	return fmt.Sprintf("processes named %q", s.Name)
}

// unitSuffixes are of the units that have control groups with processes
// (systemd.unit(5)). Any other dot is part of a service's name, as systemctl(1)
// takes it.
var unitSuffixes = []string{".service", ".scope", ".slice", ".socket", ".mount", ".swap"}

// unit is the whole name.
func (s Selection) unit() string {
	if s.Unit == "" || slices.Contains(unitSuffixes, filepath.Ext(s.Unit)) {
		return s.Unit
	}
	return s.Unit + ".service"
}

// pids returns the numbers of the processes that are meant now, none of our own.
func (s Selection) pids() ([]int, error) {
	if s.PID != 0 {
		return []int{s.PID}, nil
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && s.means(filepath.Join("/proc", entry.Name())) {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found, nil
}

// means reports whether the process of a directory in /proc is meant.
func (s Selection) means(dir string) bool {
	if s == (Selection{}) {
		return true
	}
	if s.Unit != "" {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		return err == nil && inUnit(string(text), s.unit())
	}
	if commOf(filepath.Join(dir, "comm")) == s.Name {
		return true
	}
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	return err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == s.Name
}

// inUnit reports whether /proc/PID/cgroup is of a process in a unit of systemd, be
// it the system's or a user's: the unit is a directory in its path, of the
// hierarchy that has no controllers or is systemd's own (cgroups(7)). A name that
// could be taken for a file of the kernel's, as cpu.slice, has an underscore in
// front there.
func inUnit(cgroups, unit string) bool {
	for line := range strings.Lines(cgroups) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers != "" && controllers != "name=systemd" {
			continue
		}
		for dir := range strings.SplitSeq(path, "/") {
			if strings.TrimPrefix(dir, "_") == unit {
				return true
			}
		}
	}
	return false
}
