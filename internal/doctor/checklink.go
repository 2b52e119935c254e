package doctor

const (
	aboutUp            = "up"
	aboutCarrier       = "carrier"
	aboutMulticastFlag = "multicast_flag"
)

var (
	notUp = define(aboutUp, Fault, "%s is down",
		"Nothing comes in, and no report goes out.")
	noCarrier = define(aboutCarrier, Fault, "%s has no carrier (%s)",
		"The cable is out, or the other end is down: nothing comes in, and no report goes out.")
	notOperational = define(aboutCarrier, Warning, "%s has carrier, and its state is %s",
		"It is up only once what it waits for is done, as an authentication, or the interface below it.")
	noMulticast = define(aboutMulticastFlag, Fault, "%s has the flag MULTICAST off",
		"The kernel takes joins on it, sends no report, and need not receive (K13).")
)

// checkUp is about the administrative state.
func checkUp(_ Subject, f *Facts) []Finding {
	if !f.Link.Up {
		return []Finding{notUp.with(f.Link.Name).mend("ip link set dev " + quote(f.Link.Name) + " up")}
	}
	return good(aboutUp, "%s is up", f.Link.Name)
}

// checkCarrier is about the cable, and the operational state of RFC 2863.
func checkCarrier(_ Subject, f *Facts) []Finding {
	l := f.Link
	switch {
	case !l.Up:
		return nil
	case !l.Carrier && l.Peer != "":
		return []Finding{noCarrier.with(l.Name, l.OperState).mend("ip link set dev " + quote(l.Peer) + " up")}
	case !l.Carrier:
		return []Finding{noCarrier.with(l.Name, l.OperState).advise("Look at the cable, and at the other end.")}
	case l.OperState != "up" && l.OperState != "unknown":
		return []Finding{notOperational.with(l.Name, l.OperState).advise("See what ip -d link show %s says of it.", quote(l.Name))}
	}
	return good(aboutCarrier, "%s has carrier", l.Name)
}

// checkMulticastFlag is about IFF_MULTICAST. The loopback interface has none,
// and works.
func checkMulticastFlag(_ Subject, f *Facts) []Finding {
	if !f.Link.Multicast && !f.Link.Loopback {
		return []Finding{noMulticast.with(f.Link.Name).mend("ip link set dev " + quote(f.Link.Name) + " multicast on")}
	}
	return good(aboutMulticastFlag, "%s does multicast", f.Link.Name)
}
