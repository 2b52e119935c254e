package adopt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

func destinations(f family) []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(f.group, port), netip.AddrPortFrom(f.other, port)}
}

// lives are the ways in which eth0 can come to another life.
var lives = map[string]func(*stage){
	"recreated":  func(s *stage) { ok(s.t, s.Recreate("eth0", testnet.Veth{})) },
	"same index": func(s *stage) { ok(s.t, s.Recreate("eth0", testnet.Veth{Index: s.index()})) },
}

// A process that knows nothing of it hears again, ten times, and has room as
// before.
func TestAdoptedHearsAgain(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, f)
				fd := s.joined()
				s.adopt()
				s.awaitJoined(fd, 0)
				s.hears(fd)
				for n := range 10 {
					again(s)
					s.awaitJoined(fd, uint64(n+1))
					s.hears(fd)
					if got := s.users(); got != 1 {
						t.Errorf("%d users", got)
					}
				}
				if rows := s.rows(); len(rows) != 1 || rows[0].State != StateJoined {
					t.Errorf("the socket has %+v, want one entry", rows)
				}
			})
		}
	})
}

// Where nothing is adopted nothing is looked at.
func TestNothingAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(nil, slog.New(slog.DiscardHandler), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		time.Sleep(time.Hour)
		if a.names.Load() != nil {
			t.Error("it looked at nothing")
		}
		select {
		case <-a.Begun():
			t.Error("it says that something was adopted")
		default:
		}
		cancel()
		ok(t, <-ended)
	})
}

// What the process has when the daemon ends, or lets go, it keeps.
func TestAdoptedKeepsWhatItHas(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		one := s.adopt()
		s.awaitJoined(fd, 0)
		if _, err := s.adopter.Stop(s.ctx, one.ID); err != nil {
			t.Error(err)
		}
		s.awaitGone(fd)
		s.hears(fd)
		s.adopt()
		s.awaitJoined(fd, 0)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.awaitJoined(fd, 1)
		s.stop()
		if got := s.users(); got != 1 {
			t.Errorf("%d users after the daemon's end, want the process's", got)
		}
		s.do(order{Do: "leave", FD: fd, Index: s.index(), Group: f.group, Source: f.source})
		if got := s.users(); got != 0 {
			t.Errorf("%d users after the process left", got)
		}
	})
}

// A process that is deaf before it is adopted hears.
func TestAdoptedWhileDeaf(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.recreate(testnet.Veth{})
		one := s.adopt()
		if len(one.Memberships) != 0 || len(one.LeftOut) != 1 {
			t.Errorf("%+v, want that nobody knows where", one)
		}
		_, err := s.adopter.Stop(s.ctx, one.ID)
		ok(t, err)
		_, err = s.adopter.Adopt(s.ctx, Selection{PID: s.pid}, []byte(`{"interface": "eth0"}`))
		ok(t, err)
		s.awaitJoined(fd, 0)
		s.hears(fd)
		if rows := s.rows(); len(rows) != 1 || rows[0].State != StateJoined {
			t.Errorf("the socket has %+v, want one entry", rows)
		}
	})
}

// What the process leaves, joins and closes is believed.
func TestAdoptedChangesItsMind(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)

		s.do(order{Do: "leave", FD: fd, Index: s.index(), Group: f.group, Source: f.source})
		s.awaitGone(fd)
		s.awaitUsers(0)
		s.recreate(testnet.Veth{})
		s.joinOn(fd, s.index())
		s.awaitJoined(fd, 0)

		second := f.source.Next()
		s.do(order{Do: "join", FD: fd, Index: s.index(), Group: f.group, Source: second})
		s.await(s.name(fd), hasChannels(2))
		s.do(order{Do: "leave", FD: fd, Index: s.index(), Group: f.group, Source: second})
		s.await(s.name(fd), hasChannels(1))
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.awaitJoined(fd, 1)
		s.hears(fd)

		later := s.joined() // another socket
		s.awaitJoined(later, 0)
		s.do(order{Do: "close", FD: fd})
		s.awaitGone(fd)
		s.awaitUsers(1)
		s.hears(later)
	})
}

func hasChannels(want int) func(membership.Status) error {
	return func(status membership.Status) error {
		if status.State != membership.StateJoined || status.Channels != want {
			return fmt.Errorf("want %d channels", want)
		}
		return nil
	}
}

// A process that leaves its group while the interface is away is not joined.
func TestAdoptedLeavesWhileAway(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd, was := s.joined(), s.index()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.Cut("eth0")
		s.do(order{Do: "leaveGroup", FD: fd, Index: was, Group: f.group})
		ok(t, s.Connect(testnet.Veth{}))
		s.awaitGone(fd)
		if got := s.users(); got != 0 {
			t.Errorf("%d users", got)
		}
	})
}

// A process that joins by itself on the next interface is not joined twice.
func TestAdoptedJoinsItself(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd, was := s.joined(), s.index()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.Cut("eth0")
		s.do(order{Do: "leaveGroup", FD: fd, Index: was, Group: f.group})
		ok(t, s.Connect(testnet.Veth{}))
		_, err := s.try(order{Do: "join", FD: fd, Index: s.index(), Group: f.group, Source: f.source})
		if err != nil && err.Error() != unix.EADDRNOTAVAIL.Error() {
			t.Error(err)
		}
		s.await(s.name(fd), hasChannels(1))
		s.hears(fd)
		if got := s.users(); got != 1 {
			t.Errorf("%d users", got)
		}
	})
}

// The process's end ends everything about it.
func TestAdoptedDies(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.end()
		s.awaitGone(fd)
		s.awaitUsers(0)
		ok(t, testnet.Eventually(s.ctx, func() error {
			if all := s.adopter.Adoptions(); len(all) > 0 {
				return fmt.Errorf("there is %+v", all)
			}
			return nil
		}))
	})
}

// It dies while its interface is away.
func TestAdoptedDiesWhileAway(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.Cut("eth0")
		s.end()
		ok(t, s.Connect(testnet.Veth{}))
		s.awaitGone(fd)
		s.awaitUsers(0)
	})
}

// A name means the next process of that name too.
func TestAdoptedByName(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	name := fmt.Sprint("tv", os.Getpid())
	s.do(order{Do: "name", Name: name})
	fd := s.joined()
	_, err := s.adopter.Adopt(s.ctx, Selection{Name: name}, nil)
	ok(t, err)
	s.awaitJoined(fd, 0)
	s.end()
	s.awaitGone(fd)
	s.puppet = newPuppet(t, s.Near, nil)
	s.do(order{Do: "name", Name: name})
	fd = s.joined()
	s.awaitJoined(fd, 0)
	ok(t, s.Recreate("eth0", testnet.Veth{}))
	s.awaitJoined(fd, 1)
	s.hears(fd)
}

func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	s.adopt()
	if _, err := s.adopter.Adopt(s.ctx, Selection{PID: s.pid}, nil); err == nil || !strings.Contains(err.Error(), "adopted already, as 1") {
		t.Errorf("adopted twice: %v", err)
	}
	if _, err := s.adopter.Adopt(s.ctx, Selection{PID: os.Getpid()}, nil); err == nil {
		t.Error("it adopted itself")
	}
	_, err := s.adopter.Stop(s.ctx, "1")
	ok(t, err)
	s.end()
	if _, err := s.adopter.Adopt(s.ctx, Selection{PID: s.pid}, nil); !errors.Is(err, ErrEnded) {
		t.Errorf("no process: %v", err)
	}
	if _, err := s.adopter.Adopt(s.ctx, Selection{}, nil); err == nil {
		t.Error("nothing was selected")
	}
	if _, err := s.adopter.Stop(s.ctx, "7"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no adoption: %v", err)
	}
}
