// Command relay receives several groups on one port and sends each on by unicast,
// to hosts that no multicast reaches.
//
//	go run ./examples/relay eth0 5000 10.1.0.1@232.1.1.1=192.0.2.7:6001 10.1.0.1@232.1.1.2=192.0.2.7:6002
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func main() {
	config := membership.ListenConfig{Rules: reattach.Rules{Selector: reattach.ByName(os.Args[1])}}
	port, err := strconv.ParseUint(os.Args[2], 10, 16)
	check(err)
	config.Port = uint16(port)
	next := make(map[netip.Addr]netip.AddrPort) // where each group goes
	for _, argument := range os.Args[3:] {
		from, to, _ := strings.Cut(argument, "=")
		channel, err := membership.ParseChannel(from)
		check(err)
		next[channel.Group], err = netip.ParseAddrPort(to)
		check(err)
		config.Channels = append(config.Channels, channel)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	in, err := membership.Listen(ctx, config)
	check(err)
	out, err := net.ListenUDP("udp", nil)
	check(err)
	for buffer := make([]byte, 64<<10); ; {
		d, err := in.ReadDatagram(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		check(err)
		if _, err := out.WriteToUDPAddrPort(buffer[:d.Size], next[d.Group]); err != nil {
			log.Print(err) // there may be a way later
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
