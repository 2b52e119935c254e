// Command events follows what becomes of a membership. An application does so
// to know since when it hears nothing, and why.
//
//	go run ./examples/events 10.1.0.1@232.1.1.1 eth0
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	manager := membership.New(membership.Options{})
	events := manager.Subscribe() // before Run, so that none is missed
	go func() { check(manager.Run(ctx)) }()
	check(manager.Put(ctx, membership.Membership{Name: "feed", Channels: []membership.Channel{channel},
		Rules: reattach.Rules{Selector: reattach.ByName(os.Args[2])}}))
	background := context.Background()
	// After the last event comes io.EOF: Run has ended, and left every group.
	for event, err := events.Next(background); err == nil; event, err = events.Next(background) {
		log.Println(event.Type, event.State, event.Reason)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
