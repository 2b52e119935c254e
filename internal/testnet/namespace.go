package testnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that only this process knows: it has no
// name in /run/netns and ends, with all its interfaces, when the last file,
// socket or process in it does. Close gives up this one's share. Its methods
// may be called concurrently, but not after Close.
type Namespace struct {
	// Netlink is a route netlink handle inside the namespace, for everything
	// that has no helper here.
	Netlink *netlink.Handle

	handle netns.NsHandle
}

// New makes a network namespace with its loopback interface up and the
// kernel's defaults, except that the reverse path filter is off: a test's
// source need not be routable. It needs the rights that [Isolate] gives.
func New() (*Namespace, error) {
	n := &Namespace{}
	if err := n.unshare(); err != nil {
		return nil, fmt.Errorf("make namespace: %w", err)
	}
	if err := n.prepare(); err != nil {
		n.Close()
		return nil, fmt.Errorf("make namespace: %w", err)
	}
	return n, nil
}

// unshare makes the namespace on a thread that then goes back to where it came
// from. Letting the thread end instead would not do: the runtime never ends
// the main one, which would hold the namespace for as long as the program runs.
func (n *Namespace) unshare() error {
	return onThread(func() (err error) {
		n.handle, err = netns.New()
		return err
	})
}

func (n *Namespace) prepare() error {
	var err error
	if n.Netlink, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	for _, path := range []string{"net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter"} {
		if err := n.SetSysctl(path, "0"); err != nil {
			return err
		}
	}
	return n.Set("lo", Up)
}

// Close gives up the namespace. Closing twice, or nil, does nothing.
func (n *Namespace) Close() {
	if n == nil {
		return
	}
	if n.Netlink != nil {
		n.Netlink.Close()
		n.Netlink = nil
	}
	if n.handle.IsOpen() {
		_ = n.handle.Close()
	}
}

// Handle returns the namespace's file descriptor. It belongs to n.
func (n *Namespace) Handle() netns.NsHandle { return n.handle }

// Path returns a path by which any process can open the namespace, as
// /proc/PID/fd/N, until n is closed.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(n.handle)) }

// Do calls f, in this goroutine, on a thread that is inside the namespace.
// Sockets opened there stay in it; goroutines started there do not. Calls may
// be nested. It returns f's error.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter namespace: %w", err)
		}
		return f()
	})
}

// onThread calls f, which may change its thread's namespace, and takes the
// thread back to the one where it was.
func onThread(f func() error) (err error) {
	runtime.LockOSThread()
	outside, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the thread's namespace: %w", err)
	}
	defer outside.Close()
	defer func() {
		if back := netns.Set(outside); back != nil {
			// The thread stays locked to this goroutine, so that no other
			// one runs on it, and ends with it.
			err = errors.Join(err, fmt.Errorf("leave namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// Start starts cmd inside the namespace. A Pdeathsig in cmd would mean the
// end of the calling thread: lock it first.
func (n *Namespace) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// SetSysctl sets a sysctl of the namespace, as net/ipv4/igmp_max_msf.
func (n *Namespace) SetSysctl(path, value string) error {
	return n.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(value), 0) })
}

// Sysctl reads a sysctl of the namespace, without the line's end. The error
// wraps [fs.ErrNotExist] where the kernel has none of that name.
func (n *Namespace) Sysctl(path string) (value string, err error) {
	err = n.Do(func() error {
		b, err := os.ReadFile("/proc/sys/" + path)
		value = strings.TrimSpace(string(b))
		return err
	})
	return value, err
}

// readProc reads a file of /proc/net as it is inside the namespace. A missing
// file, of a protocol that the kernel does not have, is empty.
func (n *Namespace) readProc(name string) (content string, err error) {
	err = n.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/" + name)
		content = string(b)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return content, err
}

// Mount gives the namespace a file, as ip-netns(8) does in /run/netns. The file
// must not be there yet.
func (n *Namespace) Mount(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	_ = f.Close() // nothing was written
	if err := unix.Mount(n.Path(), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	return nil
}

// Unmount takes the file away from whatever namespace has it.
func Unmount(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount namespace: %w", err)
	}
	return os.Remove(path)
}
