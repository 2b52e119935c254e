package membership_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

var (
	ctx        context.Context
	channel, _ = membership.ParseChannel("10.1.0.1@232.1.1.1")
	another, _ = membership.ParseChannel("10.1.0.1@232.1.1.2")
	buffer     []byte
)

func process([]byte) {}

func ExampleParseChannel() {
	channel, err := membership.ParseChannel("10.1.0.1@232.1.1.1")
	fmt.Println(channel.Source, channel.Group, err)
	// Output: 10.1.0.1 232.1.1.1 <nil>
}

func ExampleListen() {
	conn, err := membership.Listen(ctx, membership.ListenConfig{
		Channels: []membership.Channel{channel},
		Port:     5000,
		Rules:    reattach.Rules{Selector: reattach.ByName("eth0")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			break // net.ErrClosed, or os.ErrDeadlineExceeded after SetReadDeadline
		}
		process(buffer[:n])
	}
}

func ExampleConn_ReadDatagram() {
	var conn *membership.Conn
	d, err := conn.ReadDatagram(buffer)
	if err != nil {
		return
	}
	if d.Leftover {
		log.Printf("%d bytes for %s came by a former interface", d.Size, d.Group)
	}
}

func ExampleConn_SetChannels() {
	var conn *membership.Conn // made for several groups
	err := conn.SetChannels(ctx, []membership.Channel{channel, another})
	if err != nil {
		log.Print(err)
	}
}

func ExampleManager() {
	manager := membership.New(membership.Options{})
	ran := make(chan error, 1)
	go func() { ran <- manager.Run(ctx) }()
	err := manager.Put(ctx, membership.Membership{
		Name:     "feed-a",
		Channels: []membership.Channel{channel},
		Rules:    reattach.Rules{Selector: reattach.ByName("eth0")},
	})
	if err != nil {
		log.Fatal(err)
	}
	<-ran // ctx has ended, and every group is left
}

func ExampleSocketOf() {
	var manager *membership.Manager
	var conn *ipv4.PacketConn // of golang.org/x/net, on a net.PacketConn
	socket, err := membership.SocketOf(conn)
	if err != nil {
		log.Fatal(err)
	}
	err = manager.Put(ctx, membership.Membership{
		Name:     "feed-a",
		Channels: []membership.Channel{channel},
		Rules:    reattach.Rules{Selector: reattach.ByName("eth0")},
		Socket:   socket,
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleLeftovers() {
	var manager *membership.Manager
	leftovers := manager.Leftovers("feed-a")
	defer leftovers.Close()
	for {
		payload, control, err := receive() // with IP_PKTINFO and SO_TIMESTAMPNS
		if err != nil {
			break
		}
		if !leftovers.Include(control.Index, control.Received) {
			process(payload)
		}
	}
}

func receive() (payload []byte, control membership.Datagram, err error) {
	return nil, control, net.ErrClosed
}

func ExampleStatus() {
	var manager *membership.Manager
	status, err := manager.StatusOf(ctx, "feed-a")
	switch {
	case err != nil: // membership.ErrNotFound, membership.ErrStopped
	case status.State == membership.StateJoined: // the kernel holds it
	case errors.Is(status.Err, membership.ErrSocketClosed): // it has ended
	case errors.Is(status.Err, unix.EMFILE): // raise RLIMIT_NOFILE; it is tried again
	case errors.Is(status.Err, unix.EPERM): // a bound socket, and no CAP_NET_RAW
	default:
		log.Print(status.Reason) // for a person: which interface, and what is missing
	}
}

func ExampleSubscription() {
	var manager *membership.Manager
	events := manager.Subscribe()
	for event, err := events.Next(ctx); err == nil; event, err = events.Next(ctx) {
		switch event.Type {
		case membership.EventDetached: // nothing comes from here on
		case membership.EventReattached: // event.Interface has taken its place
		case membership.EventError: // event.Err says why a join was refused
		}
	}
}
