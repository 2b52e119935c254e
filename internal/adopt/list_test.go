package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// sameRows compares but for the process's number and name.
func sameRows(t testing.TB, want, got []Row) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Row{}, "PID", "Process"), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func (l *lab) row(fd, index int, name string, s State) Row {
	return Row{FD: fd, Local: netip.AddrPortFrom(l.group, port).String(), Group: l.group, Sources: []netip.Addr{l.source}, Interface: name, Ifindex: index, State: s}
}

// What a process joined is listed, and nothing of what others did.
func TestListJoined(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		other := newPuppet(t, l.Near, nil)
		also := other.do(order{Do: "open", Group: f.other, Port: port})
		other.do(order{Do: "join", FD: also, Index: l.index(), Group: f.other, Source: f.source})
		l.open() // and joins nothing
		fd := l.joined()
		second := f.source.Next()
		l.do(order{Do: "join", FD: fd, Index: l.index(), Group: f.group, Source: second})
		want := l.row(fd, l.index(), "eth0", StateJoined)
		want.Sources = []netip.Addr{f.source, second}
		rows := l.rows()
		sameRows(t, []Row{want}, rows)
		if want := commOf(fmt.Sprintf("/proc/%d/comm", l.pid)); len(rows) == 1 && (rows[0].PID != l.pid || rows[0].Process != want) {
			t.Errorf("process %d %q, want %d %q", rows[0].PID, rows[0].Process, l.pid, want)
		}
		if all, err := List(Selection{PID: other.pid}); err != nil || len(all) != 1 || all[0].Group != f.other {
			t.Errorf("the other process: %+v, %v", all, err)
		}
	})
}

func TestListAnySource(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		fd := l.open()
		l.do(order{Do: "joinAny", FD: fd, Index: l.index(), Group: f.group})
		want := l.row(fd, l.index(), "eth0", StateAnySource)
		want.Sources = []netip.Addr{}
		sameRows(t, []Row{want}, l.rows())
	})
}

// A socket that lost its interface is deaf, also where the index lives again.
func TestListDeaf(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, index := range map[string]func(int) int{
			"another index": func(int) int { return 0 },
			"same index":    func(index int) int { return index },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				fd, was := l.joined(), l.index()
				ok(t, l.Recreate("eth0", testnet.Veth{Index: index(was)}))
				want := l.row(fd, was, "", StateDeaf)
				if was == l.index() {
					want.Interface = "eth0"
				}
				sameRows(t, []Row{want}, l.rows())
			})
		}
	})
}

// The highest index is that of the interface that went, and the group is known
// from another socket of the process.
func TestListDeafOfAnotherSocketsGroup(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		ok(t, l.Connect(testnet.Veth{Name: "eth1", PeerName: "far1", Addresses: []string{"10.7.0.2/24"}, PeerAddresses: []string{"10.7.0.1/24"}}))
		was, err := l.Near.Index("eth1")
		ok(t, err)
		unbound := netip.IPv4Unspecified()
		if f.group.Is6() {
			unbound = netip.IPv6Unspecified()
		}
		fd := l.do(order{Do: "open", Group: unbound, Port: port})
		l.joinOn(fd, was)
		l.joined()
		l.Cut("eth1")
		deaf := 0
		for _, row := range l.rows() {
			if row.FD == fd && row.State == StateDeaf && row.Ifindex == was {
				deaf++
			}
		}
		if deaf != 1 {
			t.Errorf("not listed as deaf on %d: %+v", was, l.rows())
		}
	})
}

func TestListNames(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	l.joined()
	name, err := os.Readlink("/proc/self/exe")
	ok(t, err)
	rows, err := List(Selection{Name: name[strings.LastIndex(name, "/")+1:]})
	if !hasPID(rows, l.pid) {
		t.Errorf("by the executable's name: %+v, %v", rows, err)
	}
	rows, err = List(Selection{Name: l.rows()[0].Process})
	if !hasPID(rows, l.pid) {
		t.Errorf("by its name: %+v, %v", rows, err)
	}
	if _, err := List(Selection{Name: "no-such-program"}); !errors.Is(err, ErrEnded) {
		t.Errorf("no such program: %v", err)
	}
}

func hasPID(rows []Row, pid int) bool {
	for _, row := range rows {
		if row.PID == pid {
			return true
		}
	}
	return false
}

// Without the right to do so nothing is listed, and the error says which right.
func TestListRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	l.joined()
	onThread(t, func() {
		// Of this thread alone, which nobody runs on afterwards.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1, 1, 1); errno != 0 {
			t.Log("there is no other user here:", errno) // a user namespace with one user
			return
		}
		_, err := List(Selection{PID: l.pid})
		refused, is := errors.AsType[*RefusedError](err)
		if !is || refused.PID != l.pid || !strings.Contains(err.Error(), "CAP_SYS_PTRACE") || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v, want a refusal that says what is missing", err)
		}
	})
}

func TestListEnded(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	l.joined()
	p, err := openProcess(l.pid)
	ok(t, err)
	defer p.Close()
	l.end()
	p.Wait()
	if _, err := newLooker(p, placesOf(nil)).look(nil); !errors.Is(err, ErrEnded) {
		t.Errorf("an ended process: %v", err)
	}
	if _, err := List(Selection{PID: l.pid}); !errors.Is(err, ErrEnded) {
		t.Errorf("no process: %v", err)
	}
}
