package adopt

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// What is adopted outlives the daemon: also what lost its interface in the
// absence of anybody who knows what that was called.
func TestAdoptedIsRemembered(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, f)
				fd := s.joined()
				one := s.adopt()
				s.awaitJoined(fd, 0)
				s.stop()
				again(s)
				s = s.again()
				all := s.adopter.Adoptions()
				if len(all) != 1 || all[0].ID != one.ID || all[0].Selection != one.Selection || !all[0].Since.Equal(one.Since) {
					t.Fatalf("%+v, want %+v", all, one)
				}
				s.awaitJoined(fd, 0)
				s.hears(fd)
				again(s)
				s.awaitJoined(fd, 1)
				s.hears(fd)
				s.awaitUsers(1)
				if _, err := s.adopter.Adopt(s.ctx, Selection{Name: "another"}, nil); err != nil || s.adopter.Adoptions()[1].ID == one.ID {
					t.Errorf("adoption %+v, %v, want another ID", s.adopter.Adoptions(), err)
				}
			})
		}
	})
}

// Until it is restored nothing is forgotten, and a look changes nothing.
func TestKeptUntilRestored(t *testing.T) {
	t.Parallel()
	earlier := []Kept{{ID: "3", Selection: Selection{Unit: "no-such-unit"}}}
	a := New(nil, slog.New(slog.DiscardHandler), earlier)
	a.lookAtAll(t.Context())
	if kept := a.Kept(); len(kept) != 1 {
		t.Errorf("kept %+v", kept)
	}
	a.Restore(t.Context())
	if kept := a.Kept(); len(kept) != 1 || kept[0].ID != "3" || kept[0].Unit != "no-such-unit" {
		t.Errorf("kept %+v", kept)
	}
	if last, err := a.Stop(t.Context(), "3"); err != nil || last.Unit != "no-such-unit" || len(a.Kept()) != 0 {
		t.Errorf("%+v, %v, kept %+v", last, err, a.Kept())
	}
}

// Another process that has the number by now is not adopted, and none is after a
// restart of the machine. A name is meant for good.
func TestAnotherProcessIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	byName := Selection{Name: commOf("/proc/self/comm")}
	s.adopt()
	_, err := s.adopter.Adopt(s.ctx, byName, nil)
	ok(t, err)
	s.awaitJoined(fd, 0)
	s.stop()
	for what, change := range map[string]func(*Kept){
		"another process":     func(k *Kept) { k.Life = Life{Born: k.Born + 1} },
		"another of the tick": func(k *Kept) { k.PidFS++ },
		"another boot":        func(k *Kept) { k.Boot = "another" },
		"no birth":            func(k *Kept) { k.Life = Life{} },
	} {
		kept := s.adopter.Kept()
		if len(kept) != 2 {
			t.Fatalf("kept %+v", kept)
		}
		mine := []Kept{kept[0]}
		if change(&mine[0]); mine[0].PidFS == 1 {
			continue // this kernel cannot tell
		}
		s := onStage(s.lab, mine)
		if all := s.adopter.Adoptions(); len(all) != 0 {
			t.Errorf("%s: adopted %+v", what, all)
		}
		if left := s.adopter.Kept(); len(left) != 0 {
			t.Errorf("%s: kept %+v", what, left)
		}
		s.stop()
	}
	named := []Kept{s.adopter.Kept()[1]}
	named[0].Boot = "another"
	s = onStage(s.lab, named)
	s.awaitJoined(fd, 0)
}

// What somebody removed by its name is not begun anew by a restart.
func TestRemovedIsRemembered(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	ok(t, s.keeper.Delete(s.ctx, s.name(fd)))
	s.keeper.lent[s.name(fd)].lost("removed")
	ok(t, testnet.Eventually(s.ctx, func() error {
		if kept := s.adopter.Kept(); len(kept[0].Sockets) == 1 && len(kept[0].Sockets[0].Lost) == 1 {
			return nil
		}
		return errors.New("it is not known as removed")
	}))
	s = s.again()
	_, err := s.manager.StatusOf(s.ctx, s.name(fd))
	one := s.adopter.Adoptions()[0]
	if !errors.Is(err, membership.ErrNotFound) || len(one.LeftOut) != 1 || !strings.Contains(one.LeftOut[0], "removed") {
		t.Errorf("%v, %+v", err, one)
	}
}
