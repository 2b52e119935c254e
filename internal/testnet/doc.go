// Package testnet makes small networks out of network namespaces, for tests,
// benchmarks and the demonstration. Nothing in it touches the host, and
// nothing in it is about testing.
//
// A program, or a package's TestMain, first calls [Isolate], and then needs
// no root:
//
//	func TestMain(m *testing.M) {
//		if err := testnet.Isolate(); err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//		os.Exit(m.Run())
//	}
//
// # Namespaces and interfaces
//
//	ns, err := testnet.New()       // lo is up; ns.Close() ends it
//	ns.Do(func() error { ... })    // this goroutine, inside; sockets opened there stay there
//	ns.Start(cmd)                  // a process inside
//	ns.Path(), ns.Handle()         // for whoever opens it by path or by descriptor
//	ns.SetSysctl("net/ipv4/igmp_max_memberships", "20")
//	ns.Add(testnet.Bridge("br0"), testnet.Up)              // Bridge, IFB, Macvlan, VLAN or any netlink.Link
//	ns.Set("eth0", testnet.Down)                           // any number of Changes, in order:
//	   // Up Down MTU Name Alias MAC Address TentativeAddress NoAddresses
//	   // Master NoMaster MulticastOn MulticastOff MoveTo Deleted
//	ns.Netlink                                             // a *netlink.Handle for all the rest
//	testnet.Groups(ns)                                     // the kernel's groups: ifindex, group, users
//
// # A network
//
// [NewNetwork] connects two namespaces: Near, where receivers and managers
// live, has eth0 with 10.1.0.2/24 and 2001:db8:1::2/64; Far has far0 with
// [Source4] and [Source6].
//
//	network, err := testnet.NewNetwork(testnet.Veth{})
//	network.Recreate("eth0", testnet.Veth{})               // another life, another index
//	network.Recreate("eth0", testnet.Veth{Index: i})       // another life, the same index
//	network.Recreate("eth0", testnet.Veth{MAC: "02:00:00:00:00:02", Addresses: []string{"10.2.0.2/24"}})
//	network.Cut("eth0"); network.Connect(testnet.Veth{})   // the same in two steps
//	network.Far.Set("far0", testnet.Down)                  // eth0 loses its carrier
//
// On a fresh interface the kernel delivers IPv6 multicast only after about a
// second (fact K28), IPv4 at once.
//
// # Traffic
//
// A [Sender] sends numbered datagrams from Far and survives all of the above;
// a [Receiver] counts them in Near, as a member or by what others joined. New
// opens, Run(ctx) works until ctx ends:
//
//	to := netip.MustParseAddrPort("232.1.1.1:5000")
//	s := testnet.NewSender(network.Far, testnet.SenderConfig{To: []netip.AddrPort{to}})
//	r, err := testnet.NewReceiver(network.Near, testnet.ReceiverConfig{Listen: to})   // fed by anyone's membership
//	p, err := testnet.NewReceiver(network.Near, testnet.ReceiverConfig{Listen: to,    // goes deaf with eth0
//		Join: "eth0", Source: testnet.Source4, OwnOnly: true})
//	go s.Run(ctx); go r.Run(ctx)
//	err = r.WaitNew(ctx, 3)        // three datagrams that are sent after this call
//	network.Far.Ask("far0", testnet.QueryV3)   // be a router: QueryV2, QueryV3, QueryMLD
//
// Package wire, beside this one, hears in Far which groups Near reports.
//
// [Eventually] polls for whatever has no event; a [Bell] wakes for what has one.
package testnet
