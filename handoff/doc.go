// Package handoff hands a program's own socket over to the ssmd daemon, which
// keeps it joined while interfaces come and go.
//
// The socket stays the program's: it reads from it as before. The wish lasts as
// long as the [Handoff], and not longer than the program. While no daemon runs,
// as in a restart, what is joined stays joined, and the socket is handed over
// anew to the next one.
//
// docs/handoff.md has the protocol, for clients in other languages; handoff/c
// and handoff/python are two of them.
package handoff
