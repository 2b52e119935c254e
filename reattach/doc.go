// Package reattach decides which interface instances a membership may be
// attached to, and whether a new instance may take a lost one's place.
//
// Everything here is a pure function of values: no sockets, no clock. A
// [Selector] says which interfaces a membership wants, a [Policy] whether a
// new instance may replace a lost one, and [Rules] put both together with what
// an instance must have before a join. A [When] is an expression over the lost
// instance and the new one, and [Rules.Hold] says what holds back an instance
// that is accepted otherwise. Every [Verdict] carries the checks that
// led to it, each with what was wanted and what was found.
package reattach
