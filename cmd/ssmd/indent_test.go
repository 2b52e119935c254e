package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ssmd-project/ssmd/membership"
)

// TestIndentJSON holds that an answer comes out as the object in it would,
// in whatever pieces it comes.
func TestIndentJSON(t *testing.T) {
	for name, object := range map[string]any{
		"memberships":      []membership.Status{feedA, feedB, feedC},
		"none":             []membership.Status{},
		"one":              feedA,
		"empty":            map[string]any{"a": map[string]any{}, "b": []any{}, "c": []any{[]any{}, nil, true, -1.5e9}},
		"signs in strings": []string{`{"a": [1, 2]}`, `\`, `\"`, `\\"`, "", "\n\t \u2028", "<&>"},
		"no container":     "a, b",
	} {
		want := printed(t, func(w io.Writer) error { return printJSON(w, object) })
		var text strings.Builder
		if err := encoder(&text).Encode(object); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{text.String(), want} {
			compare(t, want, printed(t, func(w io.Writer) error { return indentJSON(w, strings.NewReader(text)) }))
			compare(t, want, printed(t, func(w io.Writer) error { return indentJSON(w, iotest.OneByteReader(strings.NewReader(text))) }))
		}
		if !json.Valid([]byte(want)) {
			t.Errorf("%s: not JSON", name)
		}
	}
}

// TestIndentJSONCutShort holds that half an answer is no success.
func TestIndentJSONCutShort(t *testing.T) {
	for _, text := range []string{"", " ", "[", `{"a":`, `{"a":"}`, `[{}`, "]"} {
		if err := indentJSON(io.Discard, strings.NewReader(text)); !errors.Is(err, errCutShort) {
			t.Errorf("%q: got %v, want an error", text, err)
		}
	}
	broken := errors.New("broken")
	if err := indentJSON(io.Discard, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
