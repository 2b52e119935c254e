// Package hooks runs commands when something happens to memberships.
//
// Each hook has a queue and a goroutine of its own: its commands run one at a
// time, in the order of the events, and neither the manager nor another hook
// ever waits for one. A queue that is full loses its oldest event, as what came
// last is how things stand.
package hooks
