package demo

import (
	"errors"
	"strings"
	"testing"
)

func TestScreenRedrawsInPlace(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	columns := 80
	s := &screen{out: &out, size: func() (int, int) { return columns, 24 }, paint: painter(false), glyphs: glyphsFor(true)}
	ok(t, s.open())
	if out.String() != hideCursor {
		t.Errorf("open wrote %q", out.String())
	}
	draws := func(prefix string, n int) {
		t.Helper()
		out.Reset()
		ok(t, s.show(storyView(second), 0))
		if got := out.String(); !strings.HasPrefix(got, prefix) || strings.Count(got, "\r\n") != n || !strings.HasSuffix(got, clearBelow) {
			t.Errorf("want %q and %d lines, got %q", prefix, n, got)
		}
	}
	const height = 14
	draws("ssmd demo", height)
	draws("\r\x1b[14Assmd demo", height)
	columns = 70 // the terminal gets another width
	draws(clearAll+"ssmd demo", height)
	draws("\r\x1b[14Assmd demo", height)
	out.Reset()
	ok(t, s.close())
	if !strings.HasSuffix(out.String(), showCursor) {
		t.Errorf("close wrote %q", out.String())
	}
}

var errFull = errors.New("disk full")

// fullAfter is a writer that fails after some writes.
type fullAfter int

func (f *fullAfter) Write(b []byte) (int, error) {
	if *f--; *f < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestDisplaysReportErrors(t *testing.T) {
	t.Parallel()
	full := fullAfter(0)
	s := &screen{out: &full, size: func() (int, int) { return 80, 24 }, paint: painter(false), glyphs: glyphsFor(true)}
	l := &lines{out: &full}
	for name, err := range map[string]error{
		"screen open": s.open(), "screen show": s.show(view{}, 0), "screen close": s.close(),
		"lines open": l.open(), "lines show": l.show(view{log: storyLog()}, 1),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
