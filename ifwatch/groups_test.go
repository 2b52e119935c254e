package ifwatch

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseIGMP(t *testing.T) {
	number := func(a string) string {
		four := netip.MustParseAddr(a).As4()
		return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(four[:]))
	}
	content := "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n" +
		"1\tlo        :     1      V3\n" +
		"\t\t\t\t" + number("224.0.0.1") + "     1 0:00000000\t\t0\n" +
		"12\teth 0     :     2      V2\n" +
		"\t\t\t\t" + number("232.1.2.3") + "    17 0:00000000\t\t1\n"
	got := newGroups()
	if err := parseIGMP(strings.NewReader(content), &got); err != nil {
		t.Fatal(err)
	}
	want := Groups{
		Users:       map[GroupKey]int{{1, netip.MustParseAddr("224.0.0.1")}: 1, {12, netip.MustParseAddr("232.1.2.3")}: 17},
		Up:          map[int]bool{1: true},
		OldQueriers: map[int]string{12: "V2"},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	if parseIGMP(strings.NewReader("Idx\nfoo bar\n"), &got) == nil {
		t.Error("a malformed line was taken")
	}
}

func TestParseIGMP6(t *testing.T) {
	content := "1    lo              ff020000000000000000000000000001     1 0000000C 0\n" +
		"7    eth0            ff3e0000000000000000000080000001     3 00000004 0\n" +
		"7    eth0            ff020000000000000000000000000001     1 00000008 0\n"
	got := newGroups()
	if err := parseIGMP6(strings.NewReader(content), &got); err != nil {
		t.Fatal(err)
	}
	want := map[GroupKey]int{{1, netip.MustParseAddr("ff02::1")}: 1, {7, netip.MustParseAddr("ff3e::8000:1")}: 3, {7, netip.MustParseAddr("ff02::1")}: 1}
	if d := cmp.Diff(map[int]bool{1: true}, got.Up); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, got.Users, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
}
