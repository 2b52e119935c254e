// Command rtp receives an RTP stream (RFC 3550) and tells what of it was lost, and
// what became of the interface meanwhile.
//
//	go run ./examples/rtp 10.1.0.1@232.1.1.1 5004 eth0
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"

	"github.com/pion/rtp"

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
		Rules:     reattach.Rules{Selector: reattach.ByName(os.Args[3])},
		Leftovers: membership.DropLeftovers, // perhaps of another network's stream
	})
	check(err)
	go tell(conn.Subscribe())
	var last rtp.Packet
	buffer := make([]byte, 64<<10)
	for began := false; ; {
		n, _, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		check(err)
		var packet rtp.Packet
		if err := packet.Unmarshal(buffer[:n]); err != nil {
			log.Printf("no RTP: %v", err)
			continue
		}
		switch lost := packet.SequenceNumber - last.SequenceNumber - 1; { // it wraps, as it should
		case !began || packet.SSRC != last.SSRC:
			log.Printf("stream %08x of payload type %d begins at %d", packet.SSRC, packet.PayloadType, packet.SequenceNumber)
		case lost >= 1<<15:
			continue // late, or twice
		case lost > 0:
			log.Printf("lost %d packets before %d", lost, packet.SequenceNumber)
		}
		last, began = packet, true
	}
}

func tell(events *membership.Subscription) {
	for event, err := events.Next(context.Background()); err == nil; event, err = events.Next(context.Background()) {
		log.Println(event.Type, event.State, event.Reason)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
