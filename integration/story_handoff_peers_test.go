package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// handOverOnce hands a socket over, and prints the first thing that it is told.
const handOverOnce = `
import array, socket, sys
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    daemon.connect(sys.argv[1])
except PermissionError as e:
    sys.exit(print(e))
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [udp.fileno()]))
daemon.sendmsg([sys.argv[2].encode()], [rights])
print(daemon.recv(65536).decode())
`

// as hands a socket over as somebody else would, and returns what they are told.
func (h *house) as(who *syscall.Credential) string {
	h.t.Helper()
	python, err := exec.LookPath("/usr/bin/python3") // others may be in a home
	needs(h.t, "Python", err)
	entry := fmt.Sprintf(`{"name": "feed", "channels": "%s", "interface": "eth0"}`, h.channel)
	cmd := exec.Command(python, "-c", handOverOnce, h.path(), entry)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Dir = "/"
	if err := h.Near.Start(cmd); err != nil {
		needs(h.t, "second user in this user namespace", err)
	}
	if err := cmd.Wait(); err != nil {
		h.t.Errorf("%v: %s", err, &said)
	}
	return said.String()
}

// Who may hand over is decided by who connected, also where the socket's file
// lets everybody connect, as one of the service manager's may.
func storyHandoffPeers(t *testing.T, program string) {
	t.Parallel()
	const nobody, group = 65534, 64999
	stranger := &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{nobody}}
	member := &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{nobody, group}}
	h := newHouse(t, v4, program)
	if err := os.Chown(h.dir, -1, group); err != nil {
		needs(t, "second group in this user namespace", err)
	}
	restart := func(mode string) {
		t.Helper()
		h.end(unix.SIGTERM)
		h.start("--handoff-mode", mode, "--handoff-group", fmt.Sprint(group))
	}
	want := func(told string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(told, w) {
				t.Errorf("was told %swant %q in it", told, w)
			}
		}
	}
	restart("0660")
	want(h.as(stranger), "Permission denied") // by the file
	ok(t, os.Chmod(h.path(), 0o666))
	want(h.as(stranger), `"refused"`, `"status":403`, "user 65534 may not hand anything over")
	h.gone()
	want(h.as(member), `"answer"`, `"state":"joined"`)
	h.gone() // the client has ended
	restart("0640")
	ok(t, os.Chmod(h.path(), 0o666))
	want(h.as(member), `"status":403`) // the mode does not let the group write
	restart("0666")
	want(h.as(stranger), `"answer"`, `"state":"joined"`)
	h.gone()
	h.end(unix.SIGTERM)
	want(h.daemon.stderr.String(), `user="user 65534"`)
}
