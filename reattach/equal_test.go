package reattach

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// TestRulesEqual holds that every field counts, also one that is added later.
func TestRulesEqual(t *testing.T) {
	base := Rules{Selector: ByName("eth0")}
	if same := base.Normalize(); !base.Equal(same) || !same.Equal(base) {
		t.Error("rules are not equal to themselves with the defaults spelled out")
	}
	for _, path := range fieldsOf(reflect.TypeFor[Rules](), nil) {
		other := base
		field := reflect.ValueOf(&other).Elem().FieldByIndex(path)
		field.Set(otherThan(t, field))
		if base.Equal(other) || other.Equal(base) {
			t.Errorf("%v counts for nothing", reflect.TypeFor[Rules]().FieldByIndex(path).Name)
		}
	}
	empty := base
	empty.Selector.Kind = Globs{}
	if base.Equal(empty) {
		t.Error("an empty list, which no valid selector has, counts as none")
	}
}

// fieldsOf returns the paths of all fields that are no structs of this package.
func fieldsOf(of reflect.Type, above []int) (paths [][]int) {
	for i := range of.NumField() {
		path := append(append([]int{}, above...), i)
		if f := of.Field(i); f.Type.Kind() == reflect.Struct {
			paths = append(paths, fieldsOf(f.Type, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

func otherThan(t *testing.T, field reflect.Value) reflect.Value {
	t.Helper()
	when, err := ParseWhen("true")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{Globs{"other"}, Subnets{netip.MustParsePrefix("10.0.0.0/8")}, []Attribute{MAC}, []Requirement{RequireCarrier}, when, time.Second, 7} {
		if reflect.TypeOf(v) == field.Type() {
			return reflect.ValueOf(v)
		}
	}
	if field.Kind() == reflect.String {
		return reflect.ValueOf("other").Convert(field.Type())
	}
	t.Fatalf("no value for a %s", field.Type())
	return reflect.Value{}
}
