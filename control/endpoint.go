package control

import (
	"io/fs"
	"os"
)

// Endpoint is one of the sockets on which a daemon listens: of which kind it
// is, and by which name its settings and errors know it.
type Endpoint struct{ network, name string }

// The endpoints of a daemon.
var (
	API     = Endpoint{network: "unix", name: "control"}       // the control API
	Handoff = Endpoint{network: "unixpacket", name: "handoff"} // where applications hand sockets over
)

// Network returns the name of the kind of socket, as package net has it.
func (e Endpoint) Network() string { return e.network }

// Listen makes the control socket at path; see Endpoint.Listen.
func Listen(path string, mode fs.FileMode, group string) (*Listener, error) {
	return API.Listen(path, mode, group)
}

// Inherit returns the listener of the control socket; see Endpoint.Inherit.
func Inherit(path string, files []*os.File, mode fs.FileMode, group string) (*Listener, error) {
	return API.Inherit(path, files, mode, group)
}
