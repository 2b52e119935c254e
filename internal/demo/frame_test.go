package demo

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// draw writes lines as a terminal gets them.
func draw(lines []line, color bool) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, painter(color)(l))
	}
	return b.String()
}

func TestFrames(t *testing.T) {
	t.Parallel()
	ended := storyView(10 * second)
	ended.now = ""
	for _, c := range []struct {
		name          string
		view          view
		columns, rows int
		unicode       bool
		color         bool
	}{
		{"nothing", view{planned: second}, 80, 24, true, false},
		{"80x24", storyView(7 * second), 80, 24, true, false},
		{"80x24-color", storyView(7 * second), 80, 24, true, true},
		{"80x24-ended", ended, 80, 24, true, false},
		{"80x24-ascii", storyView(7 * second), 80, 24, false, false},
		{"132x50", storyView(7 * second), 132, 50, true, false},
		{"44x20", storyView(7 * second), 44, 20, true, false},
		{"80x12", storyView(7 * second), 80, 12, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			golden(t, "frame-"+c.name+".txt", draw(frame(c.view, glyphsFor(c.unicode), c.columns, c.rows), c.color))
		})
	}
}

// TestFramesFit holds that a picture fits into any terminal, at any time.
func TestFramesFit(t *testing.T) {
	t.Parallel()
	for at := time.Duration(0); at <= 12*second; at += 1500 * time.Millisecond {
		v := storyView(at)
		for columns := 1; columns <= 140; columns++ {
			for _, rows := range []int{1, 2, 5, 11, 24, 60} {
				picture := frame(v, glyphsFor(true), columns, rows)
				if len(picture) > max(rows-1, 1) {
					t.Errorf("%d lines in %d rows", len(picture), rows)
				}
				for _, l := range picture {
					if l.width() > max(columns-1, 1) {
						t.Errorf("%d columns of %d: %q", l.width(), columns, painter(false)(l))
					}
				}
			}
		}
	}
}

func TestNoColorHasNoEscapes(t *testing.T) {
	t.Parallel()
	text := draw(frame(storyView(7*second), glyphsFor(true), 80, 24), false) + draw(summary(storyOutcome(), 80), false)
	if strings.Contains(text, "\x1b") {
		t.Errorf("escape code in %q", text)
	}
}

func TestASCIIHasNoOther(t *testing.T) {
	t.Parallel()
	text := draw(frame(storyView(10*second), glyphsFor(false), 80, 24), false) +
		draw(summary(storyOutcome(), 80), false) + draw(introduction(80), false)
	for _, r := range text {
		if r > 126 {
			t.Errorf("%q", r)
		}
	}
}

func TestSummaries(t *testing.T) {
	t.Parallel()
	golden(t, "summary-80.txt", draw(summary(storyOutcome(), 80), false))
	golden(t, "summary-50.txt", draw(summary(storyOutcome(), 50), false))
	golden(t, "summary-color.txt", draw(summary(storyOutcome(), 80), true))
	golden(t, "summary-interrupted.txt", draw(summary(outcome{}, 80), false))
}

func TestPlainLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	d := &lines{out: &out}
	ok(t, d.open())
	var v view
	for _, e := range storyLog() {
		v.log = append(v.log, e)
		ok(t, d.show(v, 1))
		ok(t, d.show(v, 0))
	}
	ok(t, d.close())
	golden(t, "plain.txt", out.String())
}
