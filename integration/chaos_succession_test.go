package integration

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/service/servicetest"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// successionActs replace the daemon by another one: what is joined stays so, and
// what is attached stays attached.
var successionActs = []act{
	{"take over", 3, once(func(c *chaos) bool { return !c.ended }), takeOver},
	{"take over in peace", 1, once(seldom), takeOverInPeace},
	{"restart in peace", 1, once(seldom), restartInPeace},
	{"end, for the next one to begin", 3, once(func(c *chaos) bool { return !c.stopped }), func(c *chaos, _ place) { c.endDaemon() }},
	{"reload", 1, once(func(c *chaos) bool { return !c.stopped }), reload},
}

// seldom is for what takes long.
func seldom(c *chaos) bool { return !c.ended && c.count%8 == 0 }

// home is where one daemon after the other runs, as the service of a service
// manager.
type home struct {
	lab     *lab
	program string
	dir     string
	manager *servicetest.Manager
}

// newHome makes one without memberships.
func (c *chaos) newHome() *home {
	c.t.Helper()
	h := &home{program: c.program, dir: openDir(c.t)}
	h.lab = &lab{Network: &testnet.Network{Near: c.near, Far: c.far}, t: c.t, ctx: c.ctx, family: v4}
	var err error
	h.manager, err = servicetest.New(h.dir, 1000)
	ok(c.t, err)
	c.t.Cleanup(func() { _ = h.manager.Close() })
	ok(c.t, os.WriteFile(filepath.Join(h.dir, "ssmd.yaml"), nil, 0o644))
	return h
}

// begin starts the next daemon.
func (h *home) begin(flags ...string) *daemon {
	h.lab.t.Helper()
	cmd := h.manager.Command(h.program, append(runArgs(h.dir), flags...)...)
	defer servicetest.Release(cmd)
	return startAs(h.lab, h.dir, cmd, nil)
}

// answers waits until a daemon is the one that answers.
func (c *chaos) answers(d *daemon) {
	c.t.Helper()
	c.eventually(func() error {
		running, err := d.client.Daemon(c.ctx)
		if err == nil && running.PID != d.cmd.Process.Pid {
			err = fmt.Errorf("process %d answers, want %d", running.PID, d.cmd.Process.Pid)
		}
		return err
	})
}

// endDaemon ends the daemon as a service manager does. What it joined stays so.
func (c *chaos) endDaemon() {
	c.beginUnwatched()
	c.survived.end()
	c.daemon.signal(unix.SIGTERM)
	c.wantEnded(c.daemon)
	c.stopped, c.ended = true, true
}

func (c *chaos) wantEnded(d *daemon) {
	c.t.Helper()
	if code := d.ended(); code != 0 {
		c.ok(fmt.Errorf("the daemon ended with code %d", code))
	}
	d.stderr.Reset() // many of them come and go well
}

// beginNext starts the next daemon where none runs. To ask for a takeover then
// changes nothing.
func (c *chaos) beginNext() {
	c.t.Helper()
	c.stopped, c.ended = false, false
	c.restarts++
	if c.rand.IntN(2) == 0 {
		c.follow(c.home.begin("--takeover"))
		return
	}
	c.follow(c.home.begin())
}

// follow goes on with another daemon.
func (c *chaos) follow(next *daemon) {
	c.t.Helper()
	c.daemon = next
	c.answers(next)
	c.survived.watch(c)
	c.endUnwatched()
}

// takeOver has the next daemon take over from one that runs, or is stopped, while
// something else may happen.
func takeOver(c *chaos, _ place) {
	c.takeOverWhile(func() {
		for range c.rand.IntN(3) {
			c.perform(c.draw(worldActs))
		}
	})
}

func (c *chaos) takeOverWhile(something func()) {
	c.t.Helper()
	c.beginUnwatched()
	next := c.home.begin("--takeover")
	something()
	if c.stopped {
		c.cont()
	}
	c.wantEnded(c.daemon)
	c.survived.end()
	c.takeovers++
	c.follow(next)
}

func reload(c *chaos, _ place) {
	_, err := c.daemon.client.Reload(c.ctx)
	c.ok(err)
}
