package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func TestAdoptionRules(t *testing.T) {
	t.Parallel()
	for rules, want := range map[string]string{
		``:                      "",
		`{"interface": "eth*"}`: "",
		`{"reattach": {"policy": "same", "same": ["mac"]}, "require": ["up"]}`: "",
		`{"reattach": {"policy": "sam"}}`:                                      "policy",
		`{"channels": []}`:                                                     "channels: want none",
		`{"name": "x"}`:                                                        "name: want none",
		`{"attach": "all"}`:                                                    "attach: want none",
		`{"netns": "blue"}`:                                                    "netns: want none",
		`[]`:                                                                   "want keys of a membership",
		`null`:                                                                 "want keys of a membership",
		`{"interfac": "eth0"}`:                                                 "interfac: want none",
	} {
		err := checkRules([]byte(rules))
		_, invalid := errors.AsType[*control.InvalidError](err)
		if (err != nil) != (want != "") || err != nil && (!invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", rules, err, want)
		}
	}
}

// Without a rule an adopted membership stays on the interface of its name, with
// one on what that says.
func TestAdoptedMemberships(t *testing.T) {
	t.Parallel()
	channels := []membership.Channel{channel("10.1.0.1@232.1.1.1"), channel("10.1.0.1@239.1.1.1"), channel("2001:db8::1@ff3e::8000:1")}
	m, err := adoptionKeeper{}.Make("tv-1-3", nil, "eth[0]", channels)
	if err != nil || m.Rules.Selector.String() != reattach.ByName("eth[0]").String() || len(m.Channels) != 3 {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = adoptionKeeper{}.Make("tv-1-3", []byte(`{"interface": {"kind": "veth"}}`), "", channels[:1])
	if err != nil || !strings.Contains(m.Rules.Selector.String(), "kind=veth") {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAdopterRefuses(t *testing.T) {
	t.Parallel()
	a := newAdopter(nil, slog.New(slog.DiscardHandler), nil)
	for _, r := range []control.AdoptionRequest{{}, {Selection: control.Selection{PID: 1, Name: "x"}}, {Selection: control.Selection{PID: 1}, Rules: []byte(`{"name": "x"}`)}} {
		_, err := a.Adopt(t.Context(), r)
		if _, invalid := errors.AsType[*control.InvalidError](err); !invalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := a.StopAdoption(t.Context(), "1"); !errors.Is(err, control.ErrNoAdoption) {
		t.Errorf("nothing was adopted: %v", err)
	}
	if all, err := a.Adoptions(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	one := toldAdoption(adopt.Adoption{ID: "1", Processes: []adopt.ProcessStatus{{PID: 7, Error: "x"}}})
	if len(one.Processes) != 1 || one.Processes[0].Error != "x" {
		t.Errorf("%+v", one)
	}
}
