package demo

import "fmt"

// summary says what came of it, for so many columns.
func summary(o outcome, columns int) []line {
	if !o.finished {
		return []line{nil, lineOf("Interrupted. The network is gone; nothing is left behind.")}
	}
	columns = min(max(columns-1, 20), plainColumns-1)
	all := []line{nil, {{"Sent while an eth0 that the rules accept was up:", bold}}, nil}
	all = append(all, tallyLines(o)...)
	all = append(all, nil, line{{fmt.Sprintf("eth0 was re-created %d times:", len(o.recreations)), bold}}, nil)
	all = append(all, recreationLines(o, columns)...)
	all = append(all, nil)
	all = append(all, prose(meaning(o), columns)...)
	all = append(all, nil, line{{"Now with yours:", bold}}, nil)
	return append(all,
		line{{"  ssmd run --join SOURCE@GROUP%INTERFACE", green}},
		lineOf("  README: https://github.com/ssmd-project/ssmd#readme"))
}

func tallyLines(o outcome) []line {
	all := []line{{{fmt.Sprintf("  %-14s  %8s  %8s  %8s", "", "sent", "received", "lost"), dim}}}
	for w, name := range [2]string{plain: "plain receiver", held: "held by ssmd"} {
		t := o.tallies[w]
		share := 100 * float64(t.lost()) / max(1, float64(t.sent))
		all = append(all, line{
			{fmt.Sprintf("  %-14s  %8s  %8s  ", name, thousands(t.sent), thousands(t.received)), ""},
			{fmt.Sprintf("%8s  %5.1f %%", thousands(t.lost()), share), lossInk(t.lost())},
		})
	}
	return all
}

// recreationLines is a table of the re-creations: how long the receiver waited
// for a datagram, and how much of that was due to the manager.
func recreationLines(o outcome, columns int) []line {
	const name, number = 26, 14
	all := []line{{{fmt.Sprintf("  %-*s%*s%*s", name, "", number, "first datagram", number, "ssmd's part"), dim}}}
	for _, r := range o.recreations {
		if !r.refused {
			all = append(all, lineOf(fmt.Sprintf("  %-*s%*s%*s", name, r.name, number, milliseconds(r.again), number, milliseconds(r.join))))
			continue
		}
		all = append(all, line{{fmt.Sprintf("  %-*s", name, r.name), ""}, {fmt.Sprintf("%*s", number, "refused"), yellow}})
		for _, t := range wrap(r.reason, columns-4) {
			all = append(all, line{{"    " + t, yellow}})
		}
	}
	return append(all, nil,
		line{{fmt.Sprintf("  first datagram: after eth0 was up; one is sent every %d ms", every.Milliseconds()), dim}},
		line{{"  ssmd's part: its last_reattach_seconds, from the event to the join", dim}})
}

// meaning is the one sentence to keep.
func meaning(o outcome) string {
	return fmt.Sprintf("A membership lasts as long as one life of its interface: the plain receiver fell silent "+
		"with the first and was never told, while ssmd saw every end, joined again %d times, "+
		"and kept off the one eth0 that its rules refuse.", o.reattached())
}

func prose(text string, columns int) []line {
	var all []line
	for _, t := range wrap(text, columns) {
		all = append(all, lineOf(t))
	}
	return all
}
