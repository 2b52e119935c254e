// Package demo plays the whole story of a membership in a private network: a
// sender, two receivers, and an interface that is deleted and re-created again
// and again. One receiver joined by itself, as receivers do; the other's
// membership is held by a membership.Manager, which is all that the daemon
// uses too.
//
// What happens is a list of steps (scenario.go), played on a network (lab.go,
// director.go) and measured (ledger.go). What it looks like is a matter of
// pure functions of what was measured (frame.go, chart.go, plain.go,
// summary.go).
package demo
