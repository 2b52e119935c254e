// Package handover brings what a manager holds from one process to the next:
// through the service manager's descriptor store, or straight over a unix socket.
package handover

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// Parcel is what one process hands to the next.
type Parcel struct {
	membership.Handover
	Listeners []Listener

	process *os.File // pidfd of who handed it over, nil where it has none
}

// Listener is a socket that clients connect to, or a file that goes with one.
// Whoever connects while it goes from one process to the next waits.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"` // as configured

	File *os.File `json:"-"`
}

// Take returns the listeners of a name, which are the caller's from now on.
func (p *Parcel) Take(name string) (taken []Listener) {
	p.Listeners = slices.DeleteFunc(p.Listeners, func(l Listener) bool {
		if l.Name == name {
			taken = append(taken, l)
		}
		return l.Name == name
	})
	return taken
}

// Handed returns what was handed over, which is the caller's from now on.
func (p *Parcel) Handed() *membership.Handover {
	h := p.Handover
	p.Handover = membership.Handover{}
	return &h
}

// CloseListeners closes the listeners.
func (p *Parcel) CloseListeners() {
	for _, l := range p.Listeners {
		_ = l.File.Close()
	}
	p.Listeners = nil
}

// Close closes everything that was not taken.
func (p *Parcel) Close() {
	if p.process != nil {
		_ = p.process.Close()
	}
	p.CloseListeners()
	for _, fd := range p.Descriptors {
		_ = unix.Close(fd)
	}
	*p = Parcel{}
}

// What is handed over is described by a document, beside which the descriptors
// go: first that of the process, then those of the listeners.
const (
	format  = "ssmd handover"
	version = 1
)

type document struct {
	Format      string              `json:"format"`
	Version     int                 `json:"version"`
	Written     time.Time           `json:"written"`
	Descriptors int                 `json:"descriptors"`       // how many go with it, besides those
	Process     bool                `json:"process,omitempty"` // its descriptor goes with it
	Listeners   []Listener          `json:"listeners,omitempty"`
	Handover    membership.Handover `json:"handover"`
}

func encode(p Parcel) ([]byte, error) {
	return json.Marshal(document{format, version, time.Now(), len(p.Descriptors), p.process != nil, p.Listeners, p.Handover})
}

func decode(data []byte) (document, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("read what was handed over: %w", err)
	}
	if d.Format != format || d.Version != version {
		return d, fmt.Errorf("read what was handed over: %q of version %d, want %q of version %d", d.Format, d.Version, format, version)
	}
	return d, nil
}
