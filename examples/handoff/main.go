// Command handoff receives on a socket of its own, which the daemon keeps joined:
// again in each life of the interface, and over restarts of the daemon.
//
//	ssmd run --handoff-socket /run/ssmd/handoff.sock ...
//	go run ./examples/handoff 10.1.0.1@232.1.1.1 5000 eth0
package main

import (
	"context"
	"log"
	"net"
	"os"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
)

func main() {
	channel, err := membership.ParseChannel(os.Args[1])
	check(err)
	conn, err := net.ListenPacket("udp", net.JoinHostPort(channel.Group.String(), os.Args[2]))
	check(err)
	daemon, err := handoff.HandOver(context.Background(), conn,
		handoff.Entry{Channels: []membership.Channel{channel}, Interface: os.Args[3]},
		handoff.Options{Wait: true})
	check(err)
	log.Printf("%s is %s: %s", daemon.Status().Name, daemon.Status().State, daemon.Status().Reason)
	go func() {
		for {
			e, err := daemon.Next(context.Background())
			check(err)
			log.Printf("%s: %s", e.Type, e.Reason)
		}
	}()
	for buffer := make([]byte, 64<<10); ; {
		n, from, err := conn.ReadFrom(buffer)
		check(err)
		log.Printf("%d bytes from %v", n, from)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
