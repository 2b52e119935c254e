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
	entries map[key]entry
	gone    []entry // the oldest first
	forgot  uint64  // the version of the last that is remembered no more
}

func newTable() *table { return &table{entries: make(map[key]entry)} }

// set notes what is told of a key now.
func (t *table) set(k key, object any) {
	body, err := json.Marshal(object)
	if err != nil {
		return // nothing told here can fail
	}
	if t.entries[k].body == string(body) {
		return
	}
	t.version++
	t.entries[k] = entry{k, t.version, string(body)}
}

func (t *table) remove(k key) {
	if _, found := t.entries[k]; !found {
		return
	}
	delete(t.entries, k)
	t.version++
	t.gone = append(t.gone, entry{key: k, version: t.version})
	if over := len(t.gone) - mostGone; over > 0 {
		t.forgot = t.gone[over-1].version
		t.gone = slices.Delete(t.gone, 0, over)
	}
}

// keep removes the entries of a kind that are not among those.
func (t *table) keep(of kind, names map[string]struct{}) {
	for k := range t.entries {
		if _, found := names[k.name]; k.kind == of && !found {
			t.remove(k)
		}
	}
}

// since returns up to so many changes after a version, in their order, and
// whether there are more. Whoever has nothing needs not hear of what is gone.
func (t *table) since(version uint64, most int) (changes []entry, more bool) {
	if version >= t.version {
		return nil, false
	}
	for _, e := range t.entries {
		if e.version > version {
			changes = append(changes, e)
		}
	}
	if version > 0 {
		for _, e := range t.gone {
			if e.version > version {
				if _, back := t.entries[e.key]; !back {
					changes = append(changes, e)
				}
			}
		}
	}
	slices.SortFunc(changes, func(a, b entry) int { return cmp.Compare(a.version, b.version) })
	if len(changes) > most {
		return slices.Clip(changes[:most]), true
	}
	return changes, false
}
