package monitor

import "time"

// clock takes out of the kernel's times what setting the system's clock did to
// them: they would tell of a gap that never was.
type clock struct{ began time.Time }

// steady returns when a datagram arrived as if the clock had never been set. wall
// is what it says now, and passed how long it is since it began. What arrived
// before the clock was set back, and is read after that, arrived no later than now.
func (c clock) steady(arrived, wall time.Time, passed time.Duration) time.Time {
	now := c.began.Round(0).Add(passed)
	if steady := arrived.Add(now.Sub(wall.Round(0))); steady.Before(now) {
		return steady
	}
	return now
}
