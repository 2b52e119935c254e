// Command own-socket receives on a socket of its own and has the library join
// there, again in each life of the interface. The library never closes it.
//
//	go run ./examples/own-socket 10.1.0.1@232.1.1.1 5000 eth0
package main

import (
	"context"
	"log"
	"net"
	"os"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func main() {
	channel, err := membership.ParseChannel(os.Args[1])
	check(err)
	conn, err := net.ListenPacket("udp", net.JoinHostPort(channel.Group.String(), os.Args[2]))
	check(err)
	manager := membership.New(membership.Options{})
	go func() { check(manager.Run(context.Background())) }()
	check(manager.Put(context.Background(), membership.Membership{
		Name: "feed", Channels: []membership.Channel{channel}, Socket: conn.(*net.UDPConn),
		Rules: reattach.Rules{Selector: reattach.ByName(os.Args[3])},
	}))
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
