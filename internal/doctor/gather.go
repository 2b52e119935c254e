package doctor

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/doctor/firewall"
	"github.com/ssmd-project/ssmd/membership"
)

// Wanted is what Gather looks for.
type Wanted struct {
	Interface string
	Channels  []membership.Channel
	Wait      time.Duration // listen to the interface so long; zero: not at all
	DaemonPID int           // whose limits count; zero: the caller's

	// Listening, if it is there, is called once the interface is listened to:
	// what it has the daemon send is heard.
	Listening func()
}

// Gather looks at one interface, and what concerns it in its network namespace.
// It blocks for the time to listen, or until ctx ends. It changes nothing, but
// for a channel on the loopback interface while it reads the kernel's list of
// filters. Its error says that the namespace could not be entered; all else is
// in the facts.
func Gather(ctx context.Context, place Place, w Wanted) (Facts, error) {
	f := Facts{Sysctls: make(map[string]string), Lists: make(map[ifwatch.Family]Lists), Routes: make(map[netip.Addr]Route)}
	var ear *ear
	err := place(func() error {
		handle, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer handle.Close()
		f.Link, f.LinkErr = readLink(handle, w.Interface)
		f.Names = readNames(handle)
		f.Limits = readLimits(w.DaemonPID)
		f.Sockets, f.SockErr = readSockets()
		if f.Link == nil {
			return nil
		}
		f.readSysctls(f.Link.Name)
		f.readLists()
		f.readRoutes(handle, w.Channels)
		f.Bridges, f.BridgeErr = readBridges(f.Link.Index)
		f.Firewall = firewall.Read()
		if w.Wait > 0 {
			ear, f.Heard.Err = listen(f.Link.Index, w.Channels)
		} else {
			f.Heard.Err = errNotAsked
		}
		return nil
	})
	if ear != nil {
		if w.Listening != nil {
			w.Listening()
		}
		f.Heard = ear.listen(ctx, w.Wait)
	}
	if err == nil {
		f.nameProcesses(w.Channels, w.DaemonPID)
	}
	return f, err
}

var errNotAsked = errors.New("not listened to: --wait is 0")

// sourcesOf returns the sources of channels, each once.
func sourcesOf(channels []membership.Channel) []netip.Addr {
	var all []netip.Addr
	for _, c := range channels {
		all = append(all, c.Source)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
