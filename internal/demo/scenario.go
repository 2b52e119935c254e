package demo

import "time"

// life is an interface eth0 to be made.
type life struct {
	mac       string
	address   string
	sameIndex bool // as the one before; otherwise the kernel chooses
	refused   bool // the rules are to refuse it
}

// step is one thing that is done, and the time to watch what comes of it.
type step struct {
	text string // what is being done
	name string // of a re-creation: what the summary calls it
	cut  bool   // delete eth0
	make *life  // make eth0
	stay time.Duration
}

const (
	goodAddress  = "10.1.0.2/24"
	wrongAddress = "10.9.0.2/24"
)

// firstLife is the eth0 that the story begins with.
var firstLife = life{mac: "02:00:00:00:00:01", address: goodAddress}

// scenario returns the story.
func scenario() []step {
	const watch, gone = 1800 * time.Millisecond, 700 * time.Millisecond
	another := life{mac: "02:00:00:00:00:02", address: goodAddress}
	again, wrong := another, another
	again.sameIndex = true
	wrong.address, wrong.refused = wrongAddress, true
	steps := []step{
		{text: "both receivers hear the sender", stay: watch},
		{text: "deleting eth0: the kernel drops its memberships, and tells no receiver", cut: true, stay: gone},
		{text: "creating eth0 again: another MAC address, another index", name: "another MAC, another index", make: &another, stay: watch},
		{text: "deleting eth0", cut: true, stay: gone},
		{text: "creating eth0 again, same MAC address, even the same index: another life", name: "same MAC, same index", make: &again, stay: watch},
		{text: "deleting eth0", cut: true, stay: gone},
		{text: "creating an eth0 in another subnet: not what was lost, say the rules", name: "another subnet", make: &wrong, stay: watch},
		{text: "deleting that eth0", cut: true, stay: gone},
		{text: "creating eth0 in its own subnet again", name: "its own subnet again", make: &another, stay: watch},
	}
	for _, time := range []string{"first", "second", "third"} {
		steps = append(steps,
			step{text: "three times in a row: deleting eth0, the " + time + " time", cut: true, stay: gone / 3},
			step{text: "three times in a row: creating eth0, the " + time + " time", name: "in a row, the " + time, make: &another, stay: watch / 3})
	}
	return steps
}

// duration is about how long the steps take.
func duration(steps []step, scale float64) time.Duration {
	const each = 25 * time.Millisecond // to do what it says
	var all time.Duration
	for _, s := range steps {
		all += scaled(s.stay, scale) + each
	}
	return all
}

func scaled(d time.Duration, scale float64) time.Duration {
	return time.Duration(float64(d) * scale)
}
