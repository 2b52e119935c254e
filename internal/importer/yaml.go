package importer

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/membership"
)

// maxName bounds the names that are made.
const maxName = 64

// Names makes the names of memberships, of which no two are equal. The zero
// value works.
type Names struct {
	Prefix string // of each, itself a good name or empty
	taken  map[string]bool
	next   map[string]int // the number for the next one of a name
}

// Next returns the name of a feed, made of its title and, where that names
// several, its kind.
func (n *Names) Next(f Feed) string {
	if n.taken == nil {
		n.taken, n.next = make(map[string]bool), make(map[string]int)
	}
	name := clean(n.Prefix + f.Title)
	if kind := clean(f.Kind); kind != "" {
		name = strings.TrimLeft(name+"-"+kind, "-")
	}
	if membership.ValidateName(name) != nil {
		name = "stream"
	}
	n.next[name] = max(n.next[name], 1)
	result := name
	for n.taken[result] {
		n.next[name]++
		result = fmt.Sprintf("%s-%d", name, n.next[name])
	}
	n.taken[result] = true
	return result
}

// clean keeps what a name may have, and puts one dash for all between.
func clean(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range text {
		if membership.ValidateName("x"+string(r)) != nil {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(r)
		if b.Len() >= maxName {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// Entry is a membership as it stands in a file.
type Entry struct {
	Name      string              `yaml:"name" json:"name"`
	Channels  []string            `yaml:"channels" json:"channels"`
	AnyRange  bool                `yaml:"allow_any_range,omitempty" json:"allow_any_range,omitempty"`
	Interface map[string][]string `yaml:"interface,flow" json:"interface"`
	Monitor   *Monitor            `yaml:"monitor,flow,omitempty" json:"monitor,omitempty"`
}

// Monitor is how a stream is monitored, as it stands in a file.
type Monitor struct {
	Port      uint16 `yaml:"port" json:"port"`
	RTP       bool   `yaml:"rtp,omitempty" json:"rtp,omitempty"`
	ClockRate uint32 `yaml:"clock_rate,omitempty" json:"clock_rate,omitempty"`
}

// NewEntry makes one of a feed.
func (o Options) NewEntry(name string, f Feed, selector map[string][]string) Entry {
	e := Entry{Name: name, AnyRange: bool(f.AnyRange()), Interface: selector}
	if o.Monitor && f.Port > 0 {
		e.Monitor = &Monitor{f.Port, f.RTP, f.ClockRate}
	}
	known := make(map[membership.Channel]bool)
	for _, c := range f.Channels {
		if !known[c] {
			e.Channels = append(e.Channels, c.String())
		}
		known[c] = true
	}
	return e
}

// YAML returns a file with these memberships.
func YAML(entries []Entry) ([]byte, error) {
	return yaml.Marshal(struct {
		Memberships []Entry `yaml:"memberships"`
	}{entries})
}
