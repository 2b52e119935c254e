package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ssmd-project/ssmd/membership"
)

// owner is a process and its descriptor of a socket.
type owner struct {
	process    *Process
	descriptor int
}

// nameProcesses finds who has the sockets, and asks those that may be receivers.
// Of other users' processes that takes root. The daemon's own are none: they hold
// memberships, or monitor.
func (f *Facts) nameProcesses(channels []membership.Channel, daemon int) {
	if len(f.Sockets) == 0 {
		return
	}
	owners := findOwners(daemon)
	for n := range f.Sockets {
		s := &f.Sockets[n]
		o, known := owners[fmt.Sprintf("socket:[%d]", s.Inode)]
		if !known {
			continue
		}
		s.Process = o.process
		if a := s.Local.Addr(); a.IsUnspecified() || a.IsMulticast() {
			f.askSocket(s, o.descriptor, channels)
		}
	}
	f.Sockets = slices.DeleteFunc(f.Sockets, func(s Socket) bool { return s.Process != nil && s.Process.PID == daemon })
}

// findOwners returns who has which socket, by what a descriptor's link says. What
// the daemon was handed, or adopted, is the other process's.
func findOwners(daemon int) map[string]owner {
	owners := make(map[string]owner)
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		files, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		var p *Process
		for _, file := range files {
			target, err := os.Readlink(dir + "/fd/" + file.Name())
			if err != nil || !strings.HasPrefix(target, "socket:[") {
				continue
			}
			if p == nil {
				p = readProcess(dir)
			}
			if o, known := owners[target]; !known || o.process.PID == daemon {
				descriptor, _ := strconv.Atoi(file.Name())
				owners[target] = owner{p, descriptor}
			}
		}
	}
	return owners
}

// unit is what a systemd service's control group ends in.
var unit = regexp.MustCompile(`/([^/]+\.service)(?:$|/)`)

func readProcess(dir string) *Process {
	p := &Process{}
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	if name, err := os.ReadFile(dir + "/comm"); err == nil {
		p.Name = strings.TrimSpace(string(name))
	}
	if group, err := os.ReadFile(dir + "/cgroup"); err == nil {
		if found := unit.FindStringSubmatch(strings.TrimSpace(string(group))); found != nil {
			p.Unit = found[1]
		}
	}
	return p
}

// String names it for people.
func (p *Process) String() string {
	if p == nil {
		return "a process that cannot be looked at"
	}
	return fmt.Sprintf("process %d (%s)", p.PID, p.Name)
}
