// Package membershiptest lets an application test what it does with package
// membership: without a kernel, root, network namespaces or time to wait.
//
// A [Host] has interfaces that a test adds, changes and removes, may refuse joins,
// and tells what is joined. The managers on it are real ones. An application makes
// its manager by Host.New instead of membership.New, and does the rest as ever:
//
//	host := membershiptest.NewHost()
//	host.Add(membershiptest.Ethernet("eth0"))
//	manager := host.New(membership.Options{})
//	go manager.Run(ctx)
//	err := manager.Put(ctx, feed)
//	...
//	host.Remove("eth0")
//	status, err := manager.StatusOf(ctx, "feed") // it is detached: every request sees what was done before
//
// Connections of membership.Listen, with the manager in ListenConfig.Manager, are
// real sockets to which nothing is joined. A membership's Namespace is not faked.
// All of it works in a bubble of testing/synctest.
package membershiptest
