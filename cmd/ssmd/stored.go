package main

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/membership"
)

// stored is what is in the state file.
type stored struct {
	membership.Memory
	Added   map[string]string `json:"added,omitempty"` // entries of memberships, by name
	Adopted []adopt.Kept      `json:"adopted,omitempty"`
}

// WriteJSON writes what json.Marshal would, but a membership at a time: of many
// the text is ten times as long as what is remembered.
func (s stored) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w) // it keeps its first error for Flush
	encoder := json.NewEncoder(out)
	_, _ = out.WriteString(`{"memberships":{`)
	for n, name := range slices.Sorted(maps.Keys(s.Memberships)) {
		if n > 0 {
			_ = out.WriteByte(',')
		}
		if err := encodeMember(out, encoder, name, s.Memberships[name]); err != nil {
			return err
		}
	}
	_ = out.WriteByte('}')
	if len(s.Drained) > 0 {
		_ = out.WriteByte(',')
		if err := encodeMember(out, encoder, "drained", s.Drained); err != nil {
			return err
		}
	}
	if len(s.Added) > 0 {
		_ = out.WriteByte(',')
		if err := encodeMember(out, encoder, "added", s.Added); err != nil {
			return err
		}
	}
	if len(s.Adopted) > 0 {
		_ = out.WriteByte(',')
		if err := encodeMember(out, encoder, "adopted", s.Adopted); err != nil {
			return err
		}
	}
	_ = out.WriteByte('}')
	return out.Flush()
}

// encodeMember writes a member of an object, RFC 8259, section 4.
func encodeMember(out *bufio.Writer, encoder *json.Encoder, name string, value any) error {
	if err := encoder.Encode(name); err != nil {
		return err
	}
	_ = out.WriteByte(':')
	return encoder.Encode(value)
}
