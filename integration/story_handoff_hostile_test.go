package integration

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// hostile connects to the daemon, and does whatever it likes.
type hostile struct {
	h     *house
	mu    sync.Mutex
	conns []*net.UnixConn
}

func (b *hostile) dial() *net.UnixConn {
	c, err := net.DialTimeout("unixpacket", b.h.path(), 5*time.Second)
	if err != nil {
		return nil // there is no room in the queue
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, c.(*net.UnixConn))
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.UnixConn)
}

// send sends what may never be taken.
func (b *hostile) send(body string, fds ...int) *net.UnixConn {
	c := b.dial()
	if c != nil {
		_, _, _ = c.WriteMsgUnix([]byte(body), unix.UnixRights(fds...), nil)
	}
	return c
}

func (b *hostile) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
}

// descriptors are some that are no good.
func (b *hostile) descriptors() (fds []int) {
	b.h.t.Helper()
	controlSocket, err := net.Dial("unix", filepath.Join(b.h.dir, "control.sock"))
	ok(b.h.t, err)
	defer controlSocket.Close()
	f, err := controlSocket.(*net.UnixConn).File()
	ok(b.h.t, err)
	fds = append(fds, int(f.Fd()))
	b.h.t.Cleanup(func() { _ = f.Close() })
	for _, path := range []string{"/dev/null", "/", "/proc/self/ns/net"} {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ok(b.h.t, err)
		fds = append(fds, fd)
	}
	tcp, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ok(b.h.t, err)
	fds = append(fds, tcp)
	b.h.t.Cleanup(func() {
		for _, fd := range fds[1:] {
			_ = unix.Close(fd)
		}
	})
	return fds
}

// Nothing that a client does is noticed by others: what the file wishes for and
// what others handed over is kept through a re-creation meanwhile, and when it is
// over the daemon has as many files open as before.
func storyHandoffHostile(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		h.end(unix.SIGTERM) // to listen for scrapes, a daemon begins anew
		h.write("http: {listen: '" + metricsAt + "'}\nmemberships:\n  - {name: mine, channels: " + f.marker.String() + ", interface: eth0}\n")
		h.start()
		r := h.receiver()
		h.handOver(r)
		h.hears(r)
		mineIsJoined := func() error {
			s, err := h.daemon.client.Membership(h.ctx, "mine")
			if err == nil && s.State != membership.StateJoined {
				err = fmt.Errorf("the file's membership is %s", s.State)
			}
			return err
		}
		eventually(t, mineIsJoined)
		files := h.openFiles()
		b := &hostile{h: h}
		t.Cleanup(b.close)
		bad := b.descriptors()
		good := h.receiver()
		mine := -1 // a duplicate; os.File's Fd would have the receiver block
		ok(t, socketOf(t, good).do(func(fd int) (err error) {
			mine, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			return err
		}))
		closeMine := sync.OnceFunc(func() { _ = unix.Close(mine) })
		t.Cleanup(closeMine)
		request := `{"channels": "` + f.channel.String() + `", "interface": "eth0"}`
		for _, one := range bad {
			b.send(request, one)
		}
		b.send(request)
		b.send(request, mine, mine)
		b.send(request, repeated(mine, 250)...)
		b.send(strings.Repeat("[", 60_000), mine)
		b.send(request+strings.Repeat(" ", handoff.MaxMessage), mine)
		b.send("\x00", mine)
		for range 1000 {
			b.send("garbage", mine)
		}
		for range 40 { // that never read
			if c := b.send(request, mine); c != nil {
				for range 50 {
					_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
					if _, err := c.Write([]byte(request)); err != nil {
						break
					}
				}
			}
		}
		for n := range 3 {
			ok(t, h.Recreate("eth0", testnet.Veth{}))
			h.reattached(uint64(n + 1))
			h.hears(r)
		}
		ok(t, mineIsJoined())
		b.close()
		closeMine()
		_ = good.Close()
		eventually(t, func() error { return h.wantFiles(files) })
		h.hears(r)
		other := h.entry()
		other.Name = "another"
		one, err := handoff.HandOver(h.ctx, h.receiver().Conn(), other, handoff.Options{Socket: h.path()})
		ok(t, err)
		ok(t, one.Close())
		eventually(t, func() error {
			s := h.daemon.scrape()
			if s["ssmd_handoffs"] != 1 || s["ssmd_handoffs_total"] < 2 || s["ssmd_handoffs_refused_total"] < 1000 {
				return fmt.Errorf("handoffs: %v now, %v in all, %v refused; want 1, 2 or more, 1000 or more",
					s["ssmd_handoffs"], s["ssmd_handoffs_total"], s["ssmd_handoffs_refused_total"])
			}
			return nil
		})
	})
}

func repeated(fd, times int) []int {
	all := make([]int, times)
	for n := range all {
		all[n] = fd
	}
	return all
}
