package top

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/text"
	"github.com/ssmd-project/ssmd/membership"
)

// ink is how a line is to look: the parameters of the escape sequence "select
// graphic rendition" (ECMA-48, section 8.3.117).
type ink string

const (
	plain    ink = ""
	bold     ink = "1"
	dim      ink = "2"
	reversed ink = "7"
	red      ink = "31"
	green    ink = "32"
	yellow   ink = "33"
	cyan     ink = "36"
)

var inks = map[membership.State]ink{
	membership.StateDegraded: red, membership.StateEnded: red, membership.StateHeld: yellow, membership.StateDetached: yellow,
	membership.StateWaiting: cyan, membership.StateSettling: cyan, membership.StateJoined: green,
}

// line is a line of the picture.
type line struct {
	text string
	ink  ink
}

// frame draws the model for a terminal of so many columns and rows. Every line
// fits.
func (m *model) frame(now time.Time, columns, rows int) []line {
	list := m.listed()
	head := []line{m.title(list), m.status(now)}
	tail := m.tail(list, now, columns, rows)
	m.height = max(0, rows-len(head)-1-len(tail))
	all := append(head, m.table(list, now, columns)...)
	all = append(all, tail...)
	all = all[:min(len(all), rows)]
	for i := range all {
		all[i].text = cut(text.Escape(all[i].text), columns)
	}
	return all
}

// title counts the states.
func (m *model) title(list []control.Status) line {
	counts := make(map[membership.State]int)
	for _, s := range m.all {
		counts[s.State]++
	}
	parts := []string{}
	for _, state := range worst {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	words := fmt.Sprintf("ssmd top  %d memberships: %s", len(m.all), strings.Join(parts, ", "))
	if len(list) != len(m.all) {
		words += fmt.Sprintf("; %d shown", len(list))
	}
	return line{words, bold}
}

// status says what is chosen, or that the picture is of before.
func (m *model) status(now time.Time) line {
	switch {
	case m.lost != nil:
		return line{fmt.Sprintf("STALE for %s: %v: trying again", text.Age(now.Sub(m.since)), m.lost), red}
	case m.filtering:
		return line{"filter: " + m.filter + "_", yellow}
	case m.filter != "":
		return line{"filter: " + m.filter + "  (Esc clears)", yellow}
	}
	return line{"sorted by " + m.order.String(), dim}
}

// table draws the heading and what of the list has room, around the selected.
func (m *model) table(list []control.Status, now time.Time, columns int) []line {
	name, on, rate := 4, 9, 0 // no column where nothing is monitored
	for _, s := range list {
		name, on = max(name, utf8.RuneCountInString(s.Name)), max(on, utf8.RuneCountInString(text.Escape(s.AttachedTo())))
		rate = max(rate, len(s.Monitor.Brief()))
	}
	name, on = min(name, max(8, columns/4)), min(on, max(9, columns/6))
	row := func(state, of, joined, interfaces, since, comesIn, reason string) string {
		if rate > 0 {
			reason = pad(comesIn, rate) + "  " + reason
		}
		return fmt.Sprintf("%-8s  %s  %9s  %s  %6s  %s", state, pad(of, name), joined, pad(interfaces, on), since, reason)
	}
	lines := []line{{row("STATE", "NAME", "JOINED", "INTERFACE", "SINCE", "RATE", "REASON"), dim}}
	at := m.place(list)
	m.first = min(max(m.first, at-m.height+1, 0), max(0, len(list)-m.height))
	m.first = min(m.first, at)
	for i := m.first; i < min(len(list), m.first+m.height); i++ {
		s := list[i]
		look := inks[s.State]
		if s.Name == m.selected {
			look += ";" + reversed
		}
		words := row(string(s.State), s.Name, fmt.Sprintf("%d/%d", s.Joined, s.Channels), text.Escape(s.AttachedTo()), text.Age(now.Sub(s.Since)), s.Monitor.Brief(), s.Reason)
		lines = append(lines, line{pad(text.Escape(words), columns), look})
	}
	for len(lines) <= m.height {
		lines = append(lines, line{})
	}
	return lines
}

// tail draws the selected membership's reason whole, the last events and the
// keys, as far as there is room.
func (m *model) tail(list []control.Status, now time.Time, columns, rows int) []line {
	if rows < 10 {
		return nil
	}
	lines := []line{{}}
	if at := m.place(list); len(list) > 0 && list[at].Name == m.selected {
		s := list[at]
		words := fmt.Sprintf("%s: %d attaches, %d reattaches, %d errors: %s", s.Name, s.Counters.Attaches, s.Counters.Reattaches, s.Counters.Errors, s.Reason)
		for i, part := range wrap(text.Escape(words), columns) {
			if i < max(1, rows/8) {
				lines = append(lines, line{part, plain})
			}
		}
	}
	n := min(len(m.events), max(1, rows/5))
	for _, e := range slices.Backward(m.events[len(m.events)-n:]) {
		lines = append(lines, line{eventLine(e, now), dim})
	}
	return append(lines, line{"q quits  j k move  / filters  s sorts by " + ((m.order + 1) % orders).String(), bold})
}

func eventLine(e membership.Event, now time.Time) string {
	what := string(e.Type)
	if e.State != "" {
		what = string(e.State)
	}
	parts := []string{fmt.Sprintf("%6s ago ", text.Age(now.Sub(e.Time))), what, e.Membership}
	if e.Interface != "" {
		parts = append(parts, fmt.Sprintf("on %s (instance %d)", e.Interface, e.Instance))
	}
	if e.Missed > 0 {
		parts = append(parts, fmt.Sprintf("%d events", e.Missed))
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ") + ": " + e.Reason
}

func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(0, columns)])
}

// pad makes text so many columns wide.
func pad(text string, columns int) string {
	text = cut(text, columns)
	return text + strings.Repeat(" ", columns-utf8.RuneCountInString(text))
}

// wrap breaks text into lines, wherever they are full.
func wrap(text string, columns int) []string {
	var lines []string
	for runes := []rune(text); len(runes) > 0; runes = runes[min(columns, len(runes)):] {
		lines = append(lines, string(runes[:min(columns, len(runes))]))
		if columns <= 0 {
			break
		}
	}
	return lines
}
