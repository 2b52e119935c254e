package reattach

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
)

func judged(r Rules, id ifwatch.ID, changes ...func(*ifwatch.Interface)) Candidate {
	i := eth0(append([]func(*ifwatch.Interface){func(i *ifwatch.Interface) { i.ID, i.Name = id, "eth"+string(rune('0'+id)) }}, changes...)...)
	return Candidate{Interface: i, Verdict: r.Judge(v4, nil, i)}
}

func attached(c Candidate) Candidate {
	return Candidate{Interface: c.Interface, Attached: true}
}

func named(name string) func(*ifwatch.Interface) {
	return func(i *ifwatch.Interface) { i.Name, i.AltNames = name, nil }
}

func TestChoose(t *testing.T) {
	t.Parallel()
	any := Selector{Name: Globs{"eth*"}}
	one, all := Rules{Selector: any}, Rules{Selector: any, Attach: AttachAll}
	oldest, newest := Rules{Selector: any, Ambiguous: AmbiguousOldest}, Rules{Selector: any, Ambiguous: AmbiguousNewest}
	leave := Rules{Selector: any, OnChange: OnChangeLeave}
	subnet := Rules{Selector: mustSelect(t, Subnet, "10.1.0.0/16"), OnChange: OnChangeLeave}
	several := "choice: wanted one accepted interface, found several accepted: eth1, eth2"

	tests := []struct {
		name       string
		rules      Rules
		candidates []Candidate
		want       []ifwatch.ID
		reasons    []string // of those that are not chosen
	}{
		{"none", one, nil, nil, nil},
		{"one", one, []Candidate{judged(one, 1)}, []ifwatch.ID{1}, nil},
		{"one accepted, one waits", one, []Candidate{judged(one, 1, down), judged(one, 2)}, []ifwatch.ID{2}, []string{"require up: wanted up, found down"}},
		{"hold", one, []Candidate{judged(one, 2), judged(one, 1)}, nil, []string{several, several}},
		{"oldest", oldest, []Candidate{judged(one, 2), judged(one, 1)}, []ifwatch.ID{1}, []string{"choice: wanted the oldest, found another preferred: eth1 (instance 1)"}},
		{"newest", newest, []Candidate{judged(one, 2), judged(one, 1)}, []ifwatch.ID{2}, []string{"choice: wanted the newest, found another preferred: eth2 (instance 2)"}},
		{"all", all, []Candidate{judged(all, 2), judged(all, 1), judged(all, 3, down)}, []ifwatch.ID{2, 1}, []string{"require up: wanted up, found down"}},
		{"attached stays, older one comes", oldest, []Candidate{judged(one, 1), attached(judged(one, 2))}, []ifwatch.ID{2}, []string{"choice: wanted one attachment, found another already attached"}},
		{"attached stays while down", one, []Candidate{attached(judged(one, 1, down, noMulticast))}, []ifwatch.ID{1}, nil},
		{"attached stays when renamed", one, []Candidate{attached(judged(one, 1, named("lan0"))), judged(one, 2)}, []ifwatch.ID{1}, []string{"choice: wanted one attachment, found another already attached"}},
		{"left when renamed, the other comes", leave, []Candidate{attached(judged(one, 1, named("lan0"))), judged(one, 2)}, []ifwatch.ID{2}, []string{"name: wanted eth*, found lan0"}},
		{"not left when it lost its address", subnet, []Candidate{attached(judged(one, 1, withAddresses()))}, []ifwatch.ID{1}, nil},
		{"left when it got another", subnet, []Candidate{attached(judged(one, 1, withAddresses("192.0.2.1/24")))}, nil, []string{"subnet: wanted 10.1.0.0/16, found 192.0.2.1/24"}},
		{"all, attached and new", all, []Candidate{attached(judged(all, 1)), judged(all, 2)}, []ifwatch.ID{1, 2}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.rules.Choose(tt.candidates)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			var reasons []string
			for _, c := range tt.candidates {
				accepted := c.Verdict.Result() == Accept
				if accepted != slices.Contains(got, c.Interface.ID) {
					t.Errorf("instance %d: the verdict is %s", c.Interface.ID, c.Verdict.Result())
				}
				if !accepted {
					reasons = append(reasons, c.Verdict.Reason())
				}
			}
			if diff := cmp.Diff(tt.reasons, reasons); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An attached instance's reason is what it was chosen by, as long as that
// holds.
func TestReasonOfAttached(t *testing.T) {
	t.Parallel()
	r := Rules{Selector: Selector{Name: Globs{"eth*"}}}
	candidates := []Candidate{attached(judged(r, 1, func(i *ifwatch.Interface) { i.AltNames = nil })), attached(judged(r, 2, named("lan0")))}
	r.Choose(candidates)
	got := []string{candidates[0].Verdict.Reason(), candidates[1].Verdict.Reason()}
	want := []string{"matches name=eth1", "choice=attached, though name: wanted eth*, found lan0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Verdicts may be judged once and shared: what Choose adds to a copy stays
// with that copy.
func TestChooseLeavesCopiesAlone(t *testing.T) {
	t.Parallel()
	r := Rules{Selector: Selector{Name: Globs{"eth*"}}}
	shared := judged(r, 1)
	shared.Verdict.Checks = slices.Grow(shared.Verdict.Checks, 4)
	other := judged(r, 2)

	ambiguous := []Candidate{shared, other}
	r.Choose(ambiguous)
	want := ambiguous[0].Verdict.Reason()
	second := []Candidate{shared, attached(other)}
	r.Choose(second)
	if got := ambiguous[0].Verdict.Reason(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := shared.Verdict.Result(); got != Accept {
		t.Errorf("the shared verdict: %v", got)
	}
}
