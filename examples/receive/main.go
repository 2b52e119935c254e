// Command receive receives one channel on an interface, and goes on when that is
// removed and comes back. Only an interface in the lost one's subnet may take its
// place.
//
//	go run ./examples/receive 10.1.0.1@232.1.1.1 5000 eth0
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func main() {
	channel, err := membership.ParseChannel(os.Args[1])
	check(err)
	port, err := strconv.ParseUint(os.Args[2], 10, 16)
	check(err)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := membership.Listen(ctx, membership.ListenConfig{
		Channels: []membership.Channel{channel}, Port: uint16(port),
		Rules: reattach.Rules{
			Selector: reattach.ByName(os.Args[3]),
			Policy:   reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.Subnet}},
		},
	})
	check(err)
	log.Printf("listening on %s", conn.LocalAddr())
	for buffer := make([]byte, 64<<10); ; {
		n, from, err := conn.ReadFrom(buffer) // as of any net.PacketConn
		if errors.Is(err, net.ErrClosed) {
			return // Ctrl-C: every group is left
		}
		check(err)
		log.Printf("%d bytes from %v", n, from)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
