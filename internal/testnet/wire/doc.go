// Package wire hears what hosts tell the network: their IGMP and MLD reports,
// as a router on the far side does. It is for tests, which believe the wire
// rather than ssmd's own word, and stands apart from testnet so that the
// daemon, whose demonstration needs a test network, carries no decoder of
// packets.
//
// A [Capture] hears in a namespace what arrives there; each group record is a
// [Report]:
//
//	c, err := wire.NewCapture(network.Far)         // what arrives from now on
//	go c.Run(ctx)                                  // until ctx ends; c.Close() afterwards
//	report, err := c.Wait(ctx, func(r wire.Report) bool {
//		return r.Is(wire.AllowNewSources, source, group)
//	})
//	heard := len(c.Reports())                      // a mark in time
//	report, err = c.WaitFrom(ctx, heard, match)    // something new
package wire
