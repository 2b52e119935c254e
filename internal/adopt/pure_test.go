package adopt

import (
	"strings"
	"testing"
)

func TestInUnit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cgroups, unit string
		want          bool
	}{
		{"0::/system.slice/tv.service\n", "tv", true},
		{"0::/system.slice/tv.service\n", "tv.service", true},
		{"0::/system.slice/tv.service/worker\n", "tv", true}, // delegated
		{"0::/system.slice/a-tv.service\n", "tv", false},
		{"0::/system.slice/org.example.tv.service\n", "org.example.tv", true},
		{"0::/system.slice/system-tv.slice/tv@1.service\n", "tv@1", true},
		{"0::/system.slice/system-tv.slice/tv@1.service\n", "tv@2", false},
		{"0::/system.slice/system-tv.slice/tv@1.service\n", "tv", false},
		{"0::/system.slice/system-tv.slice/tv@1.service\n", "system-tv.slice", true}, // each of the template
		{"0::/tv.slice/tv-a.slice/b.service\n", "tv.slice", true},
		{"0::/system.slice/_cpu.service\n", "cpu", true},
		{"0::/system.slice/___x.service\n", "__x", true},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/tv.service\n", "tv", true},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/b.scope\n", "b.scope", true},
		{"0::/user.slice/user-1000.slice/session-2.scope\n", "user-1000.slice", true},
		{"0::/../tv.service\n", "tv", true}, // seen from another control group's namespace
		{"12:memory:/system.slice/tv.service\n1:name=systemd:/system.slice/tv.service\n0::/\n", "tv", true},
		{"12:memory:/system.slice/tv.service\n1:name=systemd:/user.slice\n", "tv", false},
		{"5:memory:/system.slice/tv.service\n0::/user.slice\n", "tv", false},
		{"", "tv", false},
	} {
		if got := inUnit(test.cgroups, Selection{Unit: test.unit}.unit()); got != test.want {
			t.Errorf("%s in %q: %v, want %v", test.unit, test.cgroups, got, test.want)
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
