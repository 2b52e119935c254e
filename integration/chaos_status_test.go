package integration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// statusAgrees checks that each membership is in one of the states in which it may
// be.
func (c *chaos) statusAgrees() error {
	all, err := c.daemon.client.Memberships(c.ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, status := range all {
		m := c.members[status.Name]
		if m == nil {
			errs = append(errs, fmt.Errorf("%s is there, and was removed", status.Name))
		} else if m.is = c.agreeing(m, status.Status); len(m.is) == 0 {
			errs = append(errs, fmt.Errorf("%s is %s on %+v: %s", status.Name, status.State, status.Attachments, status.Reason))
		}
	}
	if len(all) < len(c.members) {
		errs = append(errs, fmt.Errorf("there are %d memberships, want %d", len(all), len(c.members)))
	}
	return errors.Join(errs...)
}

// agreeing returns the states that a status may be of.
func (c *chaos) agreeing(m *chaosMember, status membership.Status) possible {
	p := make(possible)
	for key, s := range m.may {
		if c.agrees(m.wish, s, status) {
			p[key] = s
		}
	}
	return p
}

// agrees compares one state. While an interface is down the daemon changes
// nothing of IPv6 there (K31).
func (c *chaos) agrees(w aWish, s standing, status membership.Status) bool {
	if len(s.on) == 0 {
		idle := []membership.State{membership.StateWaiting, membership.StateDetached, membership.StateHeld}
		if s.ended {
			idle = []membership.State{membership.StateEnded}
		}
		return len(status.Attachments) == 0 && slices.Contains(idle, status.State)
	}
	if len(status.Attachments) != len(s.on) {
		return false
	}
	least, most := membership.StateJoined, membership.StateJoined
	for _, a := range s.on {
		at := slices.IndexFunc(status.Attachments, func(is membership.Attachment) bool { return is.Interface == a.name })
		if at < 0 {
			return false
		}
		is := status.Attachments[at]
		atLeast, atMost := 0, 0
		for f, n := range []int{w.channelsOf(fam4), w.channelsOf(fam6)} {
			if a.has[f] {
				atMost += n
			}
			if a.has[f] && (f == int(fam4) || a.up) {
				atLeast += n
			}
		}
		if id := c.instances[a.id]; is.Joined < atLeast || is.Joined > atMost || id != 0 && id != is.Instance {
			return false
		}
		if atLeast < len(w.channels) {
			least = membership.StateDegraded
		}
		if atMost < len(w.channels) {
			most = membership.StateDegraded
		}
	}
	return status.State == least || status.State == most
}

// agree drops the states in which the memberships are not.
func (c *chaos) agree() {
	for _, m := range c.members {
		m.may = m.is
	}
	interfaces, err := c.daemon.client.Interfaces(c.ctx)
	c.ok(err)
	for _, l := range c.world.lives {
		for _, i := range interfaces {
			if l.id != 0 && i.Name == l.name {
				c.instances[l.id] = i.ID
			}
		}
	}
}
