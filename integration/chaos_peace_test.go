package integration

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

// inPeace replaces the daemon while nothing else happens. The network must not hear
// of it, and of what is joined before and after nothing is lost.
func (c *chaos) inPeace(replace func()) {
	c.t.Helper()
	c.rest()
	c.awaitSilence()
	before, from := c.held(), len(c.capture.Reports())
	for _, e := range c.ears {
		e.listen()
	}
	c.hearOn(before)
	replace()
	held := c.held()
	maps.DeleteFunc(before, func(h holding, _ place) bool { _, is := held[h]; return !is })
	c.hearOn(before)
	c.ok(c.lossless(before))
	c.rest()
	c.ok(c.unheardOf(before, c.capture.Reports()[from:]))
}

// reportsLate is for how long reports of what is joined may still come: a leave's
// and a join's within a second each, those of IPv6 on a fresh interface again once
// its address is ready (K27).
const reportsLate = 4 * time.Second

// awaitSilence waits until nothing is reported any more.
func (c *chaos) awaitSilence() {
	c.t.Helper()
	last := time.Now()
	c.eventually(func() error {
		if all := c.capture.Reports(); len(all) > 0 && all[len(all)-1].Time.After(last) {
			last = all[len(all)-1].Time
		}
		if quiet := time.Since(last); quiet < reportsLate {
			return fmt.Errorf("the last report is %s old", quiet)
		}
		return nil
	})
}

// heard counts the datagrams of what is joined and arrives.
func (c *chaos) heard(held map[holding]place) map[holding]int {
	n := make(map[holding]int)
	for h, p := range held {
		if f := famOf(h.channel); c.world.delivers(p, f) {
			n[h] = c.ears[f].count(sound{c.indexAt(p), wishedChannels[h.channel].group})
		}
	}
	return n
}

// hearOn waits for some more datagrams of each.
func (c *chaos) hearOn(held map[holding]place) {
	c.t.Helper()
	before := c.heard(held)
	c.eventually(func() error {
		for h, n := range c.heard(held) {
			if n < before[h]+fewDatagrams {
				return fmt.Errorf("%d more datagrams of %s arrive on %s, want %d", n-before[h], wishedChannels[h.channel].group, c.world.lives[held[h]].name, fewDatagrams)
			}
		}
		return nil
	})
}

// lossless returns an error for each channel of which datagrams are missing. To the
// ports of the bridge both senders send.
func (c *chaos) lossless(held map[holding]place) error {
	var errs []error
	for h, p := range held {
		group := wishedChannels[h.channel].group
		if n := c.ears[famOf(h.channel)].lost(sound{c.indexAt(p), group}); p != bridged && n != 0 {
			errs = append(errs, fmt.Errorf("%d datagrams of %s are lost on %s", n, group, c.world.lives[p].name))
		}
	}
	return errors.Join(errs...)
}

// unheardOf returns an error for each report on what is joined.
func (c *chaos) unheardOf(held map[holding]place, reports []wire.Report) error {
	var errs []error
	for _, r := range reports {
		for h, p := range held {
			channel := wishedChannels[h.channel]
			if sentFrom(r, p) && (tells(r, channel) || isLeave(r, channel)) {
				errs = append(errs, fmt.Errorf("%s is joined on %s all the time, and the network heard %s", channel, c.world.lives[p].name, r))
			}
		}
	}
	return errors.Join(errs...)
}

func takeOverInPeace(c *chaos, _ place) {
	c.inPeace(func() { c.takeOverWhile(func() {}) })
}

func restartInPeace(c *chaos, _ place) {
	c.inPeace(func() {
		c.endDaemon()
		c.beginNext()
	})
}
