// Package ifwatch follows the interface instances of one network namespace.
//
// An interface instance is one life of one interface: it begins when the
// kernel registers a network device and ends when the kernel unregisters it
// or moves it to another namespace. Neither the name nor the index identifies
// an instance, because both come back for a different life; its [ID] does,
// and is never reused.
//
// A [Watcher] reads links and addresses from one rtnetlink socket, so that
// their events keep the kernel's order, and offers a consumer the changes
// since it last asked, merged: at most one removal and one present state an
// index, however many events there were. A slow consumer costs no memory and
// loses no removal, and reading netlink never waits for it.
package ifwatch
