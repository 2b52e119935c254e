package main

import (
	"errors"
	"testing"

	"github.com/ssmd-project/ssmd/control"
)

// A key that cannot be acted on is refused, not ignored.
func TestParseUnmonitored(t *testing.T) {
	m, err := parseUnmonitored("a", []byte(`{"channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`))
	if err != nil || m.Name != "a" || len(m.Channels) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = parseUnmonitored("a", []byte(`{"channels": "10.1.0.1@232.1.1.1", "interface": "eth0", "monitor": {"port": 5001}}`))
	invalid, ok := errors.AsType[*control.InvalidError](err)
	if !ok || len(invalid.Flaws) != 1 || invalid.Flaws[0].Path != "monitor" {
		t.Errorf("with a monitor: %v", err)
	}
}
