package membership

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership/internal/hook"
)

func init() {
	hook.New = func(k hook.Kernel, w hook.Watcher, options any) any {
		m := newManager(hookedKernel{k}, w)
		m.configure(options.(Options))
		return m
	}
}

// hookedKernel is a kernel of package membershiptest's.
type hookedKernel struct{ kernel hook.Kernel }

func (k hookedKernel) open(f ifwatch.Family) (holdingSocket, error) {
	s, err := k.kernel.Open(f)
	return hookedSocket{s}, err
}

func (k hookedKernel) caller(f ifwatch.Family, c syscall.Conn) (callersMemberSocket, error) {
	s, err := k.kernel.Caller(f, c)
	return hookedSocket{s}, err
}

func (k hookedKernel) groups(f ifwatch.Family) (ifwatch.Groups, error) {
	return k.kernel.Groups(f), nil
}

func (k hookedKernel) filters(f ifwatch.Family, visit func(ifwatch.Filter)) (bool, error) {
	for _, x := range k.kernel.Filters(f) {
		visit(x)
	}
	return true, nil
}

func (k hookedKernel) probe(name string, f ifwatch.Family) lifeProbe {
	return hookedProbe(k.kernel.Life(name, f))
}

func (hookedKernel) netns() uint64                       { return 0 }
func (hookedKernel) limits(error, ifwatch.Family) string { return "" }
func (hookedKernel) warmUp(ifwatch.Family)               {}
func (hookedKernel) leftBehind() *leftBehind             { return new(leftBehind) }
func (hookedKernel) place() string                       { return "" }

type hookedProbe func() bool

func (p hookedProbe) ended() bool          { return p() }
func (hookedProbe) close()                 {}
func (hookedProbe) handle() (handle, bool) { return handle{}, false }

// hookedSocket is the manager's own, or a caller's.
type hookedSocket struct{ socket hook.Socket }

func (s hookedSocket) join(index int, c Channel) error {
	return s.socket.Join(index, c.Source, c.Group)
}

func (s hookedSocket) leave(index int, c Channel) error {
	return s.socket.Leave(index, c.Source, c.Group)
}

func (s hookedSocket) leaveGroup(index int, group netip.Addr) error {
	return s.socket.LeaveGroup(index, group)
}

func (s hookedSocket) rejoin(index int, c Channel) (time.Duration, error) {
	if err := s.leave(index, c); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return 0, err
	}
	return 0, s.join(index, c)
}

// setSources joins before it leaves, so that what stays is not touched.
func (s hookedSocket) setSources(index int, group netip.Addr, sources []netip.Addr) error {
	before, err := s.socket.Sources(index, group)
	if err != nil {
		return err
	}
	for n, source := range sources {
		if slices.Contains(before, source) {
			continue
		}
		if err := s.socket.Join(index, source, group); err != nil {
			for _, joined := range sources[:n] {
				if !slices.Contains(before, joined) {
					_ = s.socket.Leave(index, joined, group)
				}
			}
			return err
		}
	}
	for _, source := range before {
		if !slices.Contains(sources, source) {
			_ = s.socket.Leave(index, source, group)
		}
	}
	return nil
}

func (s hookedSocket) sources(index int, group netip.Addr) ([]netip.Addr, error) {
	return s.socket.Sources(index, group)
}

func (s hookedSocket) occupied(index int) bool { return s.socket.Occupied(index) }
func (s hookedSocket) cookie() cookie          { return cookie(s.socket.Cookie()) }
func (s hookedSocket) close()                  { s.socket.Close() }
func (hookedSocket) rebind(_, _ int) error     { return nil }
func (hookedSocket) handle() (handle, bool)    { return handle{}, false }
func (hookedSocket) boundTo() netip.Addr       { return netip.Addr{} }
func (s hookedSocket) staleIndex(group netip.Addr, but int) int {
	return s.socket.Stale(group, but)
}
