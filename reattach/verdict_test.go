package reattach

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResultIsTheStrictest(t *testing.T) {
	t.Parallel()
	for i, want := range []Result{Reject, Wait, Held, Accept} {
		var v Verdict
		for _, r := range []Result{Accept, Held, Wait, Reject}[:4-i] {
			v.add(Check{Rule: "kind", Wanted: "a", Found: "b", Result: r})
		}
		if got := v.Result(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := (Verdict{}).Result(); got != Reject {
		t.Errorf("nothing checked: %v", got)
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	up := Check{"require up", "up", "up", Accept}
	tests := []struct {
		checks []Check
		want   string
	}{
		{nil, "nothing was checked"},
		{[]Check{up}, "require up=up"},
		{[]Check{up, {"same mac", "02:00:00:00:00:01", "02:00:00:00:00:01", Accept}}, "matches same mac=02:00:00:00:00:01"},
		{[]Check{up, {"name", "eth*", "eth0", Accept}, {"kind", "veth", "veth", Accept}}, "matches name=eth0 kind=veth"},
		{[]Check{up, {"approval", "a person's word", "none", Held}, {"choice", "x", "y", Held}}, "approval: wanted a person's word, found none; choice: wanted x, found y"},
	}
	for _, tt := range tests {
		if got := (Verdict{Checks: tt.checks}).Reason(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestVerdictJSON(t *testing.T) {
	t.Parallel()
	v := Verdict{Replaces: 7, Checks: []Check{{"name", "eth*", "eth0", Accept}, {"require up", "up", "down", Wait}}}
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"result":"wait","reason":"require up: wanted up, found down","replaces":7,"checks":[` +
		`{"rule":"name","wanted":"eth*","found":"eth0","result":"accept"},` +
		`{"rule":"require up","wanted":"up","found":"down","result":"wait"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`{"checks":[{"result":"maybe"}]}`, `{"checks":7}`, `[]`, `{"checks":[{"result":3}]}`} {
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
