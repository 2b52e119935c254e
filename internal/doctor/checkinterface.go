package doctor

const aboutInterface = "interface"

var (
	noInterface = define(aboutInterface, Fault, "there is no interface %s in this network namespace",
		"A membership is on an interface. Without it nothing is joined, and a receiver that joined on a former one hears nothing.")
	otherInterface = define(aboutInterface, Unknown, "the daemon's %s has index %d, the one here has %d",
		"The daemon is in another network namespace, which could not be entered, or the interface was made anew just now.")
	unreadInterface = define(aboutInterface, Unknown, "the interface %s could not be read: %v",
		"Without it there is nothing to look at.")
)

// checkInterface is about whether the interface is there, and the daemon's.
func checkInterface(s Subject, f *Facts) []Finding {
	switch {
	case s.Interface == "":
		return nil // the membership's state says it
	case f.LinkErr != nil && f.Link == nil:
		return []Finding{unreadInterface.with(s.Interface, f.LinkErr)}
	case f.Link == nil:
		return []Finding{noInterface.with(s.Interface).mend("ip link show").
			advise("Make it, or name another. ssmd joins as soon as it is there.")}
	case s.Index != 0 && s.Index != f.Link.Index:
		return []Finding{otherInterface.with(s.Interface, s.Index, f.Link.Index).advise("Run ssmd doctor again, as root, or in the daemon's namespace.")}
	}
	kind := f.Link.Kind
	if kind == "" || kind == "device" {
		kind = "physical"
	}
	return good(aboutInterface, "%s (ifindex %d) is there, %s", f.Link.Name, f.Link.Index, kind)
}
