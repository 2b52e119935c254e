// Package adopt keeps the source memberships of other people's running
// processes alive, without their knowledge.
//
// It finds processes by number, systemd unit or name, their UDP sockets, and
// what those joined (docs/kernel.md, K22). A socket is fetched with
// pidfd_getfd(2) each time there is something to do with it, recognised by its
// cookie, and let go at once: between two calls only the process's pidfd and
// the cookie are held, so nothing of the process outlives it. What a process
// does itself is believed, and never undone.
package adopt
