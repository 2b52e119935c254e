package statuspage

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read returns what a reader of a version is told, in few words.
func (t *table) read(version uint64, most int) (words []string, last uint64, more bool) {
	changes, more := t.since(version, most)
	for _, e := range changes {
		words = append(words, e.key.name+"="+e.body)
		last = e.version
	}
	return words, last, more
}

func TestTable(t *testing.T) {
	one := newTable()
	for _, name := range []string{"a", "b", "c"} {
		one.set(key{kindRow, name}, 1)
	}
	one.set(key{kindRow, "a"}, 1) // the same again is no change
	words, last, more := one.read(0, 2)
	if diff := cmp.Diff([]string{"a=1", "b=1"}, words); diff != "" || !more {
		t.Errorf("the first piece (-want +got), more %t:\n%s", more, diff)
	}
	// What changes between two pieces is told once, as it is then.
	one.set(key{kindRow, "a"}, 2)
	one.set(key{kindRow, "a"}, 3)
	one.remove(key{kindRow, "b"})
	one.remove(key{kindRow, "b"})
	words, last, more = one.read(last, 10)
	if diff := cmp.Diff([]string{"c=1", "a=3", "b="}, words); diff != "" || more || last != one.version {
		t.Errorf("the second piece (-want +got), more %t, last %d of %d:\n%s", more, last, one.version, diff)
	}
	// Whoever has nothing hears of what there is alone.
	if words, _, _ := one.read(0, 10); len(words) != 2 {
		t.Errorf("a new reader is told %v", words)
	}
	one.set(key{kindRow, "b"}, 4)
	words, _, _ = one.read(last, 10)
	if diff := cmp.Diff([]string{"b=4"}, words); diff != "" {
		t.Errorf("what came back (-want +got):\n%s", diff)
	}
	one.set(key{kindLife, "b"}, 1)
	one.keep(kindRow, map[string]struct{}{"a": {}})
	words, _, _ = one.read(one.version-3, 10)
	if diff := cmp.Diff([]string{"b=1", "b=", "c="}, words, cmp.Transformer("set", func(w []string) map[string]bool {
		set := map[string]bool{}
		for _, one := range w {
			set[one] = true
		}
		return set
	})); diff != "" {
		t.Errorf("what is not kept (-want +got):\n%s", diff)
	}
}

// Of what is gone so much is remembered, and a reader from before that knows
// that it has to begin anew.
func TestTableForgets(t *testing.T) {
	one := newTable()
	for i := range mostGone + 10 {
		k := key{kindRow, fmt.Sprint(i)}
		one.set(k, i)
		one.remove(k)
	}
	if len(one.gone) != mostGone || len(one.entries) != mostGone || one.forgot != 20 || one.there != 0 {
		t.Errorf("%d and %d are remembered, forgotten up to %d, want %d and 20", len(one.gone), len(one.entries), one.forgot, mostGone)
	}
	for i := range 10 * mostGone {
		one.set(key{kindRow, "a"}, i)
	}
	if len(one.order) > 3*mostGone {
		t.Errorf("%d changes are kept of %d keys", len(one.order), len(one.entries))
	}
}
