package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// load is what a contender holds on an interface.
type load struct {
	family  int // 4 or 6
	count   int // of channels
	sources int // of them in each group
}

func v4Load(count int) load { return load{4, count, 1} }

// args are the load as testdata/bare.c takes it.
func (l load) args(name string) []string {
	return []string{name, strconv.Itoa(l.family), strconv.Itoa(l.count), strconv.Itoa(l.sources)}
}

func parseLoad(args []string) (l load, err error) {
	for i, to := range []*int{&l.family, &l.count, &l.sources} {
		if *to, err = strconv.Atoi(args[1+i]); err != nil {
			return load{}, err
		}
	}
	return l, nil
}

// channels are those that testdata/bare.c joins.
func (l load) channels() []membership.Channel {
	firstGroup, firstSource := netip.MustParseAddr("232.1.0.0"), testnet.Source4
	if l.family == 6 {
		firstGroup, firstSource = netip.MustParseAddr("ff3e::8000:0"), testnet.Source6
	}
	channels := make([]membership.Channel, l.count)
	for i := range channels {
		channels[i] = membership.Channel{Source: after(firstSource, i%l.sources), Group: after(firstGroup, i/l.sources)}
	}
	return channels
}

// after returns the n-th address after another one.
func after(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	a, _ = netip.AddrFromSlice(b)
	return a
}

// benchChannels are so many IPv4 channels with a group each.
func benchChannels(count int) []membership.Channel { return v4Load(count).channels() }

// contendVariable makes the test program be a contender, by its kind, instead
// of running tests. It takes the words of testdata/bare.c, says what that says
// and obeys the same signals.
const contendVariable = "SSMD_BENCH_CONTENDER"

// The contenders that are this program.
const (
	kindLibrary = "library" // an application with ssmd's library
	kindXNet    = "xnet"    // golang.org/x/net in a loop
	kindGo      = "go"      // system calls in a loop, without any library
)

func contend(kind string) int {
	l, err := parseLoad(os.Args[1:])
	switch {
	case err != nil:
	case kind == kindLibrary:
		err = contendLibrary(os.Args[1], l, os.Args[5:])
	default:
		err = contendBare(kind, os.Args[1], l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, kind+":", err)
		return 1
	}
	return 0
}

// contendLibrary keeps a load on an interface by the library, and another one
// on a second interface where there are words for it.
func contendLibrary(name string, l load, other []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := membership.New(membership.Options{})
	events := m.Subscribe()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	if len(other) > 0 {
		elsewhere, err := parseLoad(other)
		if err != nil {
			return err
		}
		if err := m.Put(ctx, wishOn(other[0], "elsewhere", elsewhere)); err != nil {
			return err
		}
	}
	wish := wishOn(name, "bench", l)
	if err := m.Put(ctx, wish); err != nil {
		return err
	}
	fmt.Println("ready")
	go tell(ctx, events)

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	for s := range signals {
		var err error
		switch s {
		case unix.SIGUSR1:
			if err = m.Delete(ctx, wish.Name); err == nil {
				fmt.Println("left") // its event comes before its sockets are closed
			}
		case unix.SIGUSR2:
			err = m.Put(ctx, wish)
		default:
			cancel()
			return <-ended
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func wishOn(interfaceName, name string, l load) membership.Membership {
	return membership.Membership{Name: name, Channels: l.channels(), Rules: reattach.Rules{Selector: reattach.ByName(interfaceName)}}
}

// tell says what happened to the membership that is measured. What was joined
// at the start is told by "ready".
func tell(ctx context.Context, events *membership.Subscription) {
	for e, err := events.Next(ctx); err == nil; e, err = events.Next(ctx) {
		switch {
		case e.Membership != "bench":
		case e.Type == membership.EventAttached, e.Type == membership.EventReattached:
			fmt.Println("joined")
		case e.Type == membership.EventDetached && e.Cause == membership.CauseRemoval:
			fmt.Println("left")
		}
	}
}
