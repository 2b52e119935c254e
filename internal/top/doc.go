// Package top shows the memberships of a daemon on a terminal, as they change.
//
// What is known and chosen is a model, which keys and news change and which is
// drawn as lines: all of that is pure (model.go, keys.go, frame.go). Run owns
// the model; around it are what follows the daemon (follow.go) and what is the
// terminal's (terminal.go).
package top
