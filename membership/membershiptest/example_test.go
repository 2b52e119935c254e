package membershiptest_test

import (
	"context"
	"fmt"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/membership/membershiptest"
	"github.com/ssmd-project/ssmd/reattach"
)

// An application's test: what does it do while its interface is away?
func Example() {
	host := membershiptest.NewHost()
	host.Add(membershiptest.Ethernet("eth0"))

	// What the application does, but that it calls membership.New.
	ctx, cancel := context.WithCancel(context.Background())
	manager, ended := host.New(membership.Options{}), make(chan error)
	go func() { ended <- manager.Run(ctx) }()
	channel, _ := membership.ParseChannel("10.1.0.1@232.1.1.1")
	err := manager.Put(ctx, membership.Membership{Name: "feed", Channels: []membership.Channel{channel},
		Rules: reattach.Rules{Selector: reattach.ByName("eth0")}})
	fmt.Println(err, host.Joined("eth0"))

	host.Remove("eth0")
	status, _ := manager.StatusOf(ctx, "feed")
	fmt.Println(status.State, host.Joined("eth0"))

	host.Add(membershiptest.Ethernet("eth0"))
	status, _ = manager.StatusOf(ctx, "feed")
	fmt.Println(status.State, status.Counters.Reattaches, host.Joined("eth0"))

	cancel()
	fmt.Println(<-ended, host.Joined("eth0"))
	// Output:
	// <nil> [10.1.0.1@232.1.1.1]
	// detached []
	// joined 1 [10.1.0.1@232.1.1.1]
	// <nil> []
}
