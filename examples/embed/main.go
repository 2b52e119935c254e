// Command embed keeps one channel joined from inside a program, on sockets of
// the library's own: any receiver on the host that is bound to the port hears
// it. Only an interface in the lost one's subnet may take its place.
//
//	go run ./examples/embed 10.1.0.1@232.1.1.1 eth0
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func main() {
	channel, err := membership.ParseChannel(os.Args[1])
	check(err)
	feed := membership.Membership{Name: "feed", Channels: []membership.Channel{channel}, Rules: reattach.Rules{
		Selector: reattach.ByName(os.Args[2]),
		Policy:   reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.Subnet}},
	}}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	manager := membership.New(membership.Options{})
	go func() { check(manager.Put(ctx, feed)) }()
	check(manager.Run(ctx)) // until Ctrl-C; by then every group is left
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
