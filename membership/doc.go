// Package membership keeps source-specific multicast memberships (RFC 4607)
// joined while interfaces come and go.
//
// A [Membership] is a named wish: channels, which interface, and what to do
// when it goes. A [Manager] compares the wishes with the interface instances
// that exist, joins and leaves in the kernel, and tells what it did. Either it
// holds the memberships on sockets of its own, which receive nothing and feed
// any receiver on the host that is bound to the port (unless that receiver
// turned IP_MULTICAST_ALL off), or it joins on a socket of the caller, which
// [SocketOf] takes from any connection.
//
// [Listen] does all of it in one call: it returns a net.PacketConn that goes on
// when its interface is replaced. Package membershiptest is for tests of programs
// that use this one.
package membership
