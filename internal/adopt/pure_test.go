package adopt

import (
	"strings"
	"testing"
)

func TestInUnit(t *testing.T) {
	t.Parallel()
	for cgroups, want := range map[string]bool{
		"0::/system.slice/tv.service\n":                        true,
		"0::/system.slice/tv.service/worker\n":                 true,
		"0::/system.slice/system-tv.slice/tv@1.service\n":      false,
		"0::/system.slice/a-tv.service\n":                      false,
		"1:name=systemd:/system.slice/tv.service\n0::/\n":      true,
		"5:memory:/system.slice/tv.service\n0::/user.slice\n":  false,
		"0::/user.slice/user@1000.service/app.slice/b.scope\n": false,
		"": false,
	} {
		if got := inUnit(cgroups, "tv.service"); got != want {
			t.Errorf("%q: %v, want %v", cgroups, got, want)
		}
	}
}

func TestSelectionValidate(t *testing.T) {
	t.Parallel()
	for _, s := range []Selection{{}, {PID: 1, Name: "a"}, {PID: -1}, {Unit: "a/b"}, {Name: "/bin/a"}} {
		if s.Validate() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	for _, s := range []Selection{{PID: 1}, {Unit: "tv"}, {Name: "socat"}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if got := (Selection{Unit: "tv"}).unit(); got != "tv.service" {
		t.Errorf("unit %s", got)
	}
	if got := (Selection{Unit: "a.scope"}).unit(); got != "a.scope" {
		t.Errorf("unit %s", got)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rights rights
		want   string
	}{
		{rights{owner: "7"}, "user 7"},
		{rights{sameUser: true, yamaScope: 1}, "ptrace_scope is 1"},
		{rights{sameUser: true, yamaScope: 3, capable: true}, "until the next boot"},
		{rights{sameUser: true}, "dumped"},
		{rights{capable: true, reads: true}, "user namespace"},
		{rights{capable: true, owner: "7"}, "CAP_DAC_READ_SEARCH too"},
	} {
		if got := missing(test.rights); !strings.Contains(got, test.want) {
			t.Errorf("%+v: %q, want %q in it", test.rights, got, test.want)
		}
	}
}
