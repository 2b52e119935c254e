package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// nameProcesses finds who has the sockets. Of other users' processes that takes
// root.
func (f *Facts) nameProcesses() {
	if len(f.Sockets) == 0 {
		return
	}
	byInode := make(map[string]*Process)
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
			if byInode[target] == nil {
				byInode[target] = p
			}
		}
	}
	for n, s := range f.Sockets {
		f.Sockets[n].Process = byInode[fmt.Sprintf("socket:[%d]", s.Inode)]
	}
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
