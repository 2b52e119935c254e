package control

import (
	"net"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever has no number here is nobody, whatever number is shown for him.
func TestOverflowIsNobody(t *testing.T) {
	container := overflowIDs{uid: 65534, gid: 65534}
	host := overflowIDs{uid: nobodyKnown, gid: nobodyKnown}
	tests := map[string]struct {
		uid    uint32
		groups []uint32
		in     overflowIDs
		want   peer
	}{
		"known":           {7, []uint32{8, 9}, container, peer{uid: 7, groups: []uint32{8, 9}}},
		"unknown":         {65534, []uint32{65534, 8, 65534}, container, peer{uid: nobodyKnown, groups: []uint32{8}}},
		"nobody in truth": {65534, []uint32{65534}, host, peer{uid: 65534, groups: []uint32{65534}}},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, knownPeer(test.uid, test.groups, test.in), cmp.AllowUnexported(peer{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if unknownPeer.privileged() || unknownPeer.in(nobodyKnown) || peerIn(t.Context()).privileged() {
		t.Error("nobody is taken for somebody")
	}
}

func TestMapsAll(t *testing.T) {
	for text, want := range map[string]bool{
		"         0          0 4294967295\n": true,
		"0 0 1000\n1000 100000 4294966295\n": true,
		"0 1000 1\n":                         false,
		"0 100000 65536\n":                   false,
		"":                                   false,
		"0 0 4294967295\nx\n":                false,
		"0 0 4294967294\n4294967294 4294967294 1\n0 0 0\n":   true,
		"0 0 18446744073709551616\n":                         false,
		"         0          0 4294967295 and what is this?": true,
	} {
		if got := mapsAll(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestPeerOfASocket(t *testing.T) {
	l, err := Listen(socketPath(t), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustDial(t, l.path)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := peerOf(c)
	if err != nil || p.uid != uint32(os.Geteuid()) || !p.privileged() {
		t.Errorf("%+v, %v", p, err)
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range append(groups, os.Getegid()) {
		if uint32(g) != overflow().gid && !slices.Contains(p.groups, uint32(g)) {
			t.Errorf("group %d is not among %d", g, p.groups)
		}
	}
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	if p, err := peerOf(pipe); err == nil || p.privileged() {
		t.Errorf("a pipe: %+v, %v", p, err)
	}
}
