package firewall

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// set is one of nftables, or a map.
type set struct {
	interval bool // its elements are the beginnings and ends of ranges
	elements []nftables.SetElement
}

func newSet(s *nftables.Set, elements []nftables.SetElement) set {
	slices.SortStableFunc(elements, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	return set{s.Interval && !s.Concatenation, elements}
}

func (s set) keyLength() int {
	if len(s.elements) == 0 {
		return 0
	}
	return len(s.elements[0].Key)
}

// find looks for a value, and returns the element where that is certain.
func (s set) find(v value) (answer, nftables.SetElement) {
	if s.interval {
		return s.findRange(v)
	}
	found := no
	for _, e := range s.elements {
		switch a := s.holds(e, v); a {
		case yes:
			return yes, e
		case perhaps:
			found = perhaps
		}
	}
	return found, nftables.SetElement{}
}

// holds reports whether a value is an element. Of ranges of several fields the
// boundaries between these are not known: only those that are single values are
// decided.
func (s set) holds(e nftables.SetElement, v value) answer {
	if len(e.KeyEnd) > 0 && !bytes.Equal(e.Key, e.KeyEnd) {
		return perhaps
	}
	return equal(v, e.Key)
}

// findRange finds the last boundary that is not above the value. Where some
// bytes are not known, each range may have it.
func (s set) findRange(v value) (answer, nftables.SetElement) {
	if !v.whole() {
		return perhaps, nftables.SetElement{}
	}
	at, exact := slices.BinarySearchFunc(s.elements, v.bytes, func(e nftables.SetElement, key []byte) int { return bytes.Compare(e.Key, key) })
	if !exact {
		at--
	}
	if at < 0 {
		return no, nftables.SetElement{}
	}
	// Where a range ends at which the next begins, both are in the list.
	for at+1 < len(s.elements) && bytes.Equal(s.elements[at].Key, s.elements[at+1].Key) && s.elements[at].IntervalEnd {
		at++
	}
	if s.elements[at].IntervalEnd {
		return no, nftables.SetElement{}
	}
	return yes, s.elements[at]
}

// verdictOf returns the verdict of a map's element, which the library leaves as
// it came: attributes with a code and a chain. Nil is none that is known.
func verdictOf(e nftables.SetElement) *expr.Verdict {
	attributes, err := nl.ParseRouteAttr(e.Val)
	if err != nil {
		return nil
	}
	v := &expr.Verdict{Kind: expr.VerdictContinue}
	for _, a := range attributes {
		switch {
		case a.Attr.Type == unix.NFTA_VERDICT_CODE && len(a.Value) >= 4:
			v.Kind = expr.VerdictKind(int32(binary.BigEndian.Uint32(a.Value)))
		case a.Attr.Type == unix.NFTA_VERDICT_CHAIN:
			v.Chain = nl.BytesToString(a.Value)
		}
	}
	return v
}
