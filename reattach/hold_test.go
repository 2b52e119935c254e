package reattach

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestHold(t *testing.T) {
	t.Parallel()
	lost, candidate := eth0(), eth0(reborn)
	approve := Rules{Selector: ByName("eth0"), Policy: Policy{Kind: PolicyApprove}}
	limited := Rules{Selector: ByName("eth0"), Limit: Limit{Count: 2, Per: time.Minute}}
	twice := []time.Time{noon.Add(-50 * time.Second), noon.Add(-10 * time.Second)}
	tests := []struct {
		name          string
		rules         Rules
		lost          []ifwatch.Interface
		candidate     ifwatch.Interface
		circumstances Circumstances
		want          Result
		reason        string
	}{
		{"approval wanted", approve, []ifwatch.Interface{lost}, candidate, Circumstances{}, Held, "approval: wanted somebody to approve instance 1007, found approval wanted"},
		{"approved", approve, []ifwatch.Interface{lost}, candidate, Circumstances{Approved: true}, Accept, "matches name="},
		{"approval, first", approve, nil, candidate, Circumstances{}, Accept, "matches name="},
		{"approval, the same instance", approve, []ifwatch.Interface{candidate}, candidate, Circumstances{}, Accept, "matches name="},
		{"approved, but down", approve, []ifwatch.Interface{lost}, eth0(reborn, down), Circumstances{Approved: true}, Wait, "require up: wanted up, found down"},
		{"drained", Rules{Selector: ByName("eth0")}, nil, candidate, Circumstances{Drained: true}, Held, "drain: wanted an interface that is not drained, found drained"},
		{"drained, rejected", Rules{Selector: ByName("eth1")}, nil, candidate, Circumstances{Drained: true}, Reject, "name: wanted eth1"},
		{"within the limit", limited, []ifwatch.Interface{lost}, candidate, Circumstances{Reattached: twice[:1], Now: noon}, Accept, "matches name="},
		{"over the limit", limited, []ifwatch.Interface{lost}, candidate, Circumstances{Reattached: twice, Now: noon}, Held, "limit: wanted at most 2 reattachments in 1m0s, found as many already, until 2026-11-23T12:00:10.000Z"},
		{"the same instance too", limited, []ifwatch.Interface{candidate}, candidate, Circumstances{Reattached: twice, Now: noon}, Held, "limit: "},
		{"the limit again free", limited, []ifwatch.Interface{lost}, candidate, Circumstances{Reattached: twice, Now: noon.Add(10 * time.Second)}, Accept, "matches name="},
		{"no limit for the first", limited, nil, candidate, Circumstances{Reattached: twice, Now: noon}, Accept, "matches name="},
		{"two reasons", approve, []ifwatch.Interface{lost}, candidate, Circumstances{Drained: true}, Held, "drain: wanted an interface that is not drained, found drained; approval: wanted"},
	}
	for _, tt := range tests {
		judged := tt.rules.Judge(v4, tt.lost, tt.candidate)
		before := judged
		got := tt.rules.Hold(judged, tt.candidate.ID, tt.circumstances)
		if got.Result() != tt.want || !strings.HasPrefix(got.Reason(), tt.reason) {
			t.Errorf("%s: got %s, %s, want %s, %s", tt.name, got.Result(), got.Reason(), tt.want, tt.reason)
		}
		if diff := cmp.Diff(before, judged); diff != "" {
			t.Errorf("%s: the verdict itself changed: %s", tt.name, diff)
		}
		if want := strings.Contains(tt.reason, "approval: "); got.HeldBy(ApprovalRule) != want {
			t.Errorf("%s: awaits approval: %t, want %t", tt.name, got.HeldBy(ApprovalRule), want)
		}
	}
}

// Whoever reattaches as soon as he may, at any times, never does so more often
// in any window than the limit says, nor less often.
func TestLimitInAnyWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{Count: rapid.IntRange(1, 4).Draw(t, "count"), Per: time.Duration(rapid.IntRange(1, 20).Draw(t, "per")) * time.Second}
		var all, recent []time.Time
		now := noon
		for range rapid.IntRange(0, 40).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause")) * time.Millisecond)
			inWindow := 0
			for _, at := range all {
				if now.Sub(at) < limit.Per {
					inWindow++
				}
			}
			free := limit.Free(recent)
			if may := !now.Before(free); may != (inWindow < limit.Count) {
				t.Fatalf("%s: with %d in the window: may is %t", limit, inWindow, may)
			} else if may {
				all = append(all, now)
				recent = limit.Recent(append(recent, now))
			}
		}
		if len(recent) > limit.Count {
			t.Fatalf("%d times are kept", len(recent))
		}
	})
	if !(Limit{}).Free([]time.Time{noon}).IsZero() || len((Limit{}).Recent([]time.Time{noon})) != 0 {
		t.Error("no limit limits")
	}
}

func TestValidateRest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		r    Rules
		want string
	}{
		{"all", Rules{Settle: time.Second, Within: time.Minute, Limit: Limit{5, time.Minute}}, ""},
		{"settle negative", Rules{Settle: -1}, "settle: -1ns, want 0 or more"},
		{"within negative", Rules{Within: -1}, "within: -1ns, want 0 or more"},
		{"never settles in time", Rules{Settle: time.Minute, Within: time.Minute}, "settle: 1m0s, want less than within, 1m0s: nothing would settle in time"},
		{"limit negative", Rules{Limit: Limit{-1, time.Minute}}, "limit: count -1, want 1 to 1000, or 0 for no limit"},
		{"limit too high", Rules{Limit: Limit{1001, time.Minute}}, "limit: count 1001, want 1 to 1000, or 0 for no limit"},
		{"limit without a time", Rules{Limit: Limit{Count: 1}}, "limit: per 0s, want more than 0"},
	}
	for _, tt := range tests {
		tt.r.Selector = ByName("eth0")
		got := ""
		if err := tt.r.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
