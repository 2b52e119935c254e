package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// restPatience is more than the kernel and the daemon take to come to rest on a
// busy machine: of IPv6 the kernel makes a fresh link ready within two seconds.
const restPatience = 20 * time.Second

func (c *chaos) eventually(f func() error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, restPatience)
	defer cancel()
	c.ok(testnet.Eventually(ctx, f))
}

// rest waits until nothing is under way, and holds everything against the model.
func (c *chaos) rest() {
	c.t.Helper()
	if c.stopped {
		c.cont()
	}
	c.resting++
	c.say("rest %d", c.resting)
	c.ok(c.near.Set("lo", testnet.Alias(c.mark())))
	c.world.lag = [places]bool{}
	v := c.world.views()[0]
	for _, m := range c.members {
		m.lookLast(c, v)
	}
	c.eventually(func() error { return errors.Join(c.interfacesAgree(), c.statusAgrees(), c.listsAgree()) })
	c.agree()
	for _, e := range c.ears {
		e.listen()
	}
	c.eventually(c.wireAgrees)
	c.ok(errors.Join(c.silent(), c.pruned(), c.statusAgrees(), c.listsAgree()))
	c.beginAnew(v)
}

// mark is what the watcher must have read when it has read all before it.
func (c *chaos) mark() string { return fmt.Sprint("rest ", c.resting) }

// lookLast leaves the states of those who saw the world as it is at rest, once or
// several times.
func (m *chaosMember) lookLast(c *chaos, v view) {
	before := m.may
	m.may = make(possible)
	for _, s := range before {
		m.may.add(m.wish.look(v, c.graves, s))
	}
	for size := -1; size != len(m.may); {
		size = len(m.may)
		m.look(c, v)
	}
}

// beginAnew begins the time until the next rest.
func (c *chaos) beginAnew(v view) {
	for p := range c.world.lives {
		c.world.lives[p].untold6 = false
	}
	c.was, v.world = c.world, c.world
	c.views = []view{v}
	for id, g := range c.graves {
		g.recent = false
		c.graves[id] = g
	}
	c.soFar = append(c.soFar, c.log...)
	c.soFar = c.soFar[max(0, len(c.soFar)-40):]
	c.log = nil
	c.reports = len(c.capture.Reports())
	clear(c.announced)
	now := time.Now()
	for h, p := range c.held() {
		if c.world.carrier(p) { // by the daemon, or by a stranger before
			c.announced[h] = true
		}
		if _, is := c.steady[h]; !is {
			c.steady[h] = now
		}
	}
}

// interfacesAgree checks that the daemon knows the interfaces as they are.
func (c *chaos) interfacesAgree() error {
	all, err := c.daemon.client.Interfaces(c.ctx)
	if err != nil {
		return err
	}
	byName := make(map[string]membership.InterfaceStatus)
	for _, i := range all {
		byName[i.Name] = i
	}
	if got := byName["lo"].Alias; got != c.mark() {
		return fmt.Errorf("the daemon has read up to %q, not to %q", got, c.mark())
	}
	var errs []error
	for p := range places {
		if l := c.world.lives[p]; l.id != 0 {
			errs = append(errs, c.interfaceAgrees(p, byName[l.name]))
			continue
		}
		for _, name := range placeNames[p] {
			if i, is := byName[name]; is {
				errs = append(errs, fmt.Errorf("the daemon knows of %s, which is gone", i.Interface))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *chaos) interfaceAgrees(p place, i membership.InterfaceStatus) error {
	l := c.world.lives[p]
	index := c.indexAt(p)
	master := ""
	if l.port {
		master = bridgeName
	}
	var prefixes nets
	for _, a := range i.Addresses {
		for f := range prefixes {
			for n := 1; n <= 2; n++ {
				if a.Prefix.Masked().String() == subnetOf(fam(f), n) {
					prefixes[f] = n
				}
			}
		}
	}
	type what struct {
		index, mtu           int
		mac, master          string
		up, carrier, drained bool
		nets                 nets
	}
	got := what{i.Index, i.MTU, i.MAC, i.Master, i.Up, i.Carrier, i.Drained, prefixes}
	want := what{index, l.mtu, l.mac, master, l.up, c.world.carrier(p), l.drained, l.net}
	if got != want {
		return fmt.Errorf("the daemon knows %s as %+v, want %+v", l.name, got, want)
	}
	if known, is := c.instances[l.id]; is && known != i.ID {
		return fmt.Errorf("%s#%d is instance %d, and was %d", l.name, l.id, i.ID, known)
	}
	return nil
}

// listsAgree checks the kernel's lists. While an interface is down the daemon
// changes nothing of IPv6 there (K31), and cannot see what is taken (K20): that is
// joined again once it is up.
func (c *chaos) listsAgree() error {
	groups, err := testnet.Groups(c.near)
	if err != nil {
		return err
	}
	held := c.held()
	var errs []error
	for p := range places {
		l := c.world.lives[p]
		if l.id == 0 {
			continue
		}
		index := c.indexAt(p)
		for n, channel := range wishedChannels {
			want := 0
			if _, is := held[holding{l.id, n}]; is {
				want++
			}
			if s, is := c.strangers[n]; is && s.on.id == l.id && s.fresh(c.world) {
				want++
			}
			got := groups[index][channel.group]
			if got == want+1 && c.leavesBehind(l, n) {
				got = want
			}
			if got != want && (l.up || famOf(n) == fam4 && got > want) {
				errs = append(errs, fmt.Errorf("%s has %d users on %s, want %d", channel.group, got, l.name, want))
			}
		}
		delete(groups, index)
	}
	for index, all := range groups {
		for _, channel := range wishedChannels {
			if all[channel.group] > 0 {
				errs = append(errs, fmt.Errorf("%s has users at index %d", channel.group, index))
			}
		}
	}
	return errors.Join(errs...)
}

// leavesBehind says that a channel has a user too many, and reports whether that
// may be. Where an interface, or IPv6 on it, ends while a join waits for the
// kernel's lock, the join is one on the next life of its index. The daemon cannot
// tell, and rather keeps the socket than robs others, for as long as that lasts. So
// it is with what was handed over of a life that may be over.
func (c *chaos) leavesBehind(l life, channel int) bool {
	may := c.heirs[l.id] || c.parked[l.id] || famOf(channel) == fam6 && l.deaths6 > 0
	if may {
		c.behind[holding{l.id, channel}] = true
	}
	return may
}

// mostBehind is how many channels may be left behind by so many lives, but for what
// was handed over.
func mostBehind(lives int) int { return 2 + lives/50 }

const fewDatagrams = 3

// wireAgrees waits for datagrams of all that is joined, and for the reports of
// what was not announced at the last rest.
func (c *chaos) wireAgrees() error {
	var errs []error
	reports := c.capture.Reports()[c.reports:]
	for h, p := range c.held() {
		f, channel := famOf(h.channel), wishedChannels[h.channel]
		if n := c.ears[f].count(sound{c.indexAt(p), channel.group}); c.world.delivers(p, f) && n < fewDatagrams {
			errs = append(errs, fmt.Errorf("%s is joined on %s, and %d datagrams of it arrive", channel, c.world.lives[p].name, n))
		}
		reported := func(r wire.Report) bool { return sentFrom(r, p) && tells(r, channel) }
		if s, shared := c.strangers[h.channel]; shared && s.on.id == h.life {
			continue // what changes nothing for the interface is not reported (K14)
		}
		if c.behind[h] {
			continue // likewise
		}
		if c.world.carrier(p) && !c.announced[h] && !slices.ContainsFunc(reports, reported) {
			errs = append(errs, fmt.Errorf("%s is joined on %s, and no report told of it", channel, c.world.lives[p].name))
		}
	}
	return errors.Join(errs...)
}

// tells reports whether a report asks for a channel.
func tells(r wire.Report, c channel) bool {
	return slices.ContainsFunc([]wire.RecordType{wire.ModeIsInclude, wire.ChangeToIncludeMode, wire.AllowNewSources},
		func(t wire.RecordType) bool { return r.Is(t, c.source, c.group) })
}

// silent checks that nothing arrives of what nobody joined.
func (c *chaos) silent() error {
	held := c.held()
	var errs []error
	for p := range places {
		for n, channel := range wishedChannels {
			l := c.world.lives[p]
			_, is := held[holding{l.id, n}]
			s, taken := c.strangers[n]
			if l.id == 0 || is || taken && s.on.id == l.id || c.behind[holding{l.id, n}] {
				continue
			}
			if n := c.ears[famOf(n)].count(sound{c.indexAt(p), channel.group}); n > 0 {
				errs = append(errs, fmt.Errorf("nobody joined %s on %s, and %d datagrams of it arrive", channel, l.name, n))
			}
		}
	}
	return errors.Join(errs...)
}

// openDescriptors tells what a daemon has open, without the numbers of sockets and
// the like. What the shell that runs the test left open goes to every process, but
// where a service manager passes others under those numbers: it does not count.
func (c *chaos) openDescriptors(d *daemon) []string {
	c.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid)
	all, err := os.ReadDir(dir)
	c.ok(err)
	var open []string
	for _, fd := range all {
		if file, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil { // not closed meanwhile
			if kind, _, _ := strings.Cut(file, ":["); kind != "pipe" && kind != os.DevNull {
				open = append(open, filepath.Base(kind))
			}
		}
	}
	slices.Sort(open)
	return open
}
