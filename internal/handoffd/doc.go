// Package handoffd serves applications that hand over their sockets: each
// connection brings one socket, on which the daemon keeps joined what is asked
// for, until the connection ends. docs/handoff.md has the protocol.
package handoffd
