package membership

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lived returns what is told of the lives, in few words.
func (s *story) lived() []string {
	var all []string
	for _, l := range s.keeper.lives() {
		words := l.Interface
		if l.Before {
			words += " before"
		}
		if l.Ended != nil {
			words += " ended"
			if l.Ended.Before(l.Began) {
				s.t.Errorf("%s ended before it began", l.Interface)
			}
		}
		all = append(all, words)
	}
	return all
}

func (s *story) wantLives(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.lived()); diff != "" {
		s.t.Errorf("lives (-want +got):\n%s", diff)
	}
}

// Each life of an interface that a selector comes near is told of, in its order,
// and no life of another interface.
func TestPastLives(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.wantLives("eth1 before")
	s.create(2, mac2)
	s.now = s.now.Add(time.Second)
	s.recreate(1, mac2)
	s.deliver()
	s.wantLives("eth1 before ended", "eth1")
	s.now = s.now.Add(time.Second)
	s.remove(1)
	s.remove(2)
	s.deliver()
	s.wantLives("eth1 before ended", "eth1 ended")
}

// A host on which interfaces come and go all day fills no memory.
func TestPastLivesAreBounded(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	for range mostPastLives + 3 {
		s.recreate(1, mac1)
		s.deliver()
	}
	all := s.keeper.lives()
	if len(all) != mostPastLives+1 || all[0].Before || all[mostPastLives].Ended != nil {
		t.Errorf("%d lives, the first %+v, the last %+v", len(all), all[0], all[len(all)-1])
	}
}

// What a namespace has when there is one again had begun before.
func TestPastLivesOfANamespace(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.keeper.vanish("gone", s.now)
	s.wantLives("eth1 before ended")
	if s.keeper.looked {
		t.Error("what is there when the namespace comes back counts as new")
	}
}
