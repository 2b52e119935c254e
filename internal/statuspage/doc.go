// Package statuspage shows what a manager does in a browser: the memberships
// with their states and reasons, and the interfaces with their lives. It only
// shows.
//
//	GET /               the page
//	GET /plain          a table, for browsers without scripts
//	GET /status/stream  what is, and then what changes, as server-sent events
//	GET /status/explain?name=NAME  one membership, with explain and its events
//
// A Board asks the manager, once for however many readers there are, and only
// while there are any. What it tells is a set of entries, each with the number
// of its last change; a reader is no more than the number up to which it has
// read. So one that is slow skips what lies between, takes no memory, and makes
// nobody wait.
package statuspage
