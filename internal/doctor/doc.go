// Package doctor looks at the whole way of a channel's datagrams, from the wire
// to the receiver's socket, and says what is wrong on it, why that matters, and
// which command mends it.
//
// It is in two halves. Gather looks: at the kernel's lists, settings, routes,
// rules and sockets of one network namespace, and for a bounded time at the
// wire. It changes nothing, puts nothing on the wire, and loads no module. What it
// cannot look at it notes, with what is missing. Examine judges, without touching anything: each
// check is a function of what was found, in a file of its own, and gives one
// finding at least.
package doctor
