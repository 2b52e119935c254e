package ifwatch

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// groupMessage is a message of a multicast group, as the kernel lays it out.
func groupMessage(kind uint16, index uint32, group string) []byte {
	a := netip.MustParseAddr(group)
	family := byte(unix.AF_INET)
	if a.Is6() {
		family = unix.AF_INET6
	}
	m := binary.NativeEndian.AppendUint32(nil, 0) // the length does not count
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = append(m, make([]byte, unix.SizeofNlMsghdr-len(m))...)
	m = append(m, family, 0, 0, 0)
	m = binary.NativeEndian.AppendUint32(m, index)
	m = binary.NativeEndian.AppendUint16(m, uint16(unix.SizeofRtAttr+len(a.AsSlice())))
	m = binary.NativeEndian.AppendUint16(m, unix.IFA_MULTICAST)
	return append(m, a.AsSlice()...)
}

func TestLossFilter(t *testing.T) {
	vm, err := bpf.NewVM(lossFilter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compiled(lossFilter()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		message []byte
		want    bool
	}{
		{"a channel's group", groupMessage(unix.RTM_DELMULTICAST, 7, "232.1.1.1"), true},
		{"a channel's group, IPv6", groupMessage(unix.RTM_DELMULTICAST, 7, "ff3e::8000:1"), true},
		{"one of the link", groupMessage(unix.RTM_DELMULTICAST, 7, "ff32::8000:1"), true},
		{"a group of any source", groupMessage(unix.RTM_DELMULTICAST, 7, "224.0.1.1"), true},
		{"it comes", groupMessage(unix.RTM_NEWMULTICAST, 7, "232.1.1.1"), false},
		{"on the loopback interface", groupMessage(unix.RTM_DELMULTICAST, LoopbackIndex, "232.1.1.1"), false},
		{"all hosts", groupMessage(unix.RTM_DELMULTICAST, 7, "224.0.0.1"), false},
		{"all nodes", groupMessage(unix.RTM_DELMULTICAST, 7, "ff02::1"), false},
		{"all nodes of the host", groupMessage(unix.RTM_DELMULTICAST, 7, "ff01::1"), false},
		{"solicited nodes", groupMessage(unix.RTM_DELMULTICAST, 7, "ff02::1:ff00:2"), false},
	} {
		n, err := vm.Run(c.message)
		if err != nil || (n > 0) != c.want {
			t.Errorf("%s: passes %d bytes, %v; want it to pass: %v", c.name, n, err, c.want)
		}
	}
}

func TestParseLoss(t *testing.T) {
	for _, group := range []string{"232.1.1.1", "ff3e::8000:1"} {
		message := groupMessage(unix.RTM_DELMULTICAST, 7, group)
		got, ok := parseLoss(message)
		if want := (GroupKey{7, netip.MustParseAddr(group)}); !ok || got != want {
			t.Errorf("%v, %v, want %v", got, ok, want)
		}
		for n := range message {
			if got, ok := parseLoss(message[:n]); ok {
				t.Errorf("%d bytes of %d are understood as %v", n, len(message), got)
			}
		}
	}
	if got, ok := parseLoss(groupMessage(unix.RTM_DELMULTICAST, 7, "10.1.0.1")); ok {
		t.Errorf("%v is understood", got)
	}
}
