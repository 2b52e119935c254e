package statuspage

import (
	"cmp"
	"encoding/json"
	"slices"
)

// kind is what an entry tells of.
type kind string

const (
	kindRow  kind = "row"  // a membership
	kindLife kind = "life" // of an interface
	kindMark kind = "mark" // something that happened
)

// key names an entry.
type key struct {
	kind kind
	name string
}

// entry is what is told of a key, as JSON. One that is gone has none.
type entry struct {
	key     key
	version uint64
	body    string
}

func (e entry) isGone() bool { return e.body == "" }

// mostGone is how many keys that are gone are remembered. Whoever read no later
// than those before them begins anew.
const mostGone = 4096

// table holds entries by the number of their last change.
type table struct {
	version uint64
	entries map[key]entry // those that are gone too
	order   []entry       // the last change of each, and changes that were overtaken
	gone    []key         // the oldest first; some may be back
	forgot  uint64        // the version of the last that is remembered no more
	there   int           // entries that are not gone
}

func newTable() *table { return &table{entries: make(map[key]entry)} }

// set notes what is told of a key now.
func (t *table) set(k key, object any) {
	body, err := json.Marshal(object)
	if err != nil {
		return // nothing told here can fail
	}
	was, found := t.entries[k]
	if was.body == string(body) {
		return
	}
	if !found || was.isGone() {
		t.there++
	}
	t.change(entry{key: k, body: string(body)})
}

func (t *table) remove(k key) {
	if was, found := t.entries[k]; !found || was.isGone() {
		return
	}
	t.there--
	t.change(entry{key: k})
	t.gone = append(t.gone, k)
	for len(t.gone) > mostGone {
		if e := t.entries[t.gone[0]]; e.isGone() {
			t.forgot = max(t.forgot, e.version)
			delete(t.entries, e.key)
		}
		t.gone = slices.Delete(t.gone, 0, 1)
	}
}

func (t *table) change(e entry) {
	t.version++
	e.version = t.version
	t.entries[e.key] = e
	t.order = append(t.order, e)
	const spare = 1024
	if len(t.order) > 2*len(t.entries)+spare {
		t.order = slices.DeleteFunc(t.order, t.isOvertaken)
	}
}

// isOvertaken reports whether a change is not the last of its key.
func (t *table) isOvertaken(e entry) bool { return t.entries[e.key].version != e.version }

// keep removes the entries of a kind that are not among those.
func (t *table) keep(of kind, names map[string]struct{}) {
	for k := range t.entries {
		if _, found := names[k.name]; k.kind == of && !found {
			t.remove(k)
		}
	}
}

// since returns up to so many changes after a version, in their order, and
// whether there may be more. Whoever has nothing needs not hear of what is gone.
func (t *table) since(version uint64, most int) (changes []entry, more bool) {
	first, _ := slices.BinarySearchFunc(t.order, version+1, func(e entry, v uint64) int { return cmp.Compare(e.version, v) })
	for _, e := range t.order[first:] {
		switch {
		case t.isOvertaken(e) || version == 0 && e.isGone():
		case len(changes) == most:
			return changes, true
		default:
			changes = append(changes, e)
		}
	}
	return changes, false
}
