// Package importer reads what senders and players write of their streams, and
// tells which source-specific channels are in it: SDP files (RFC 8866, RFC 4566)
// with source filters (RFC 4570), M3U playlists, and single addresses as
// rtp://SOURCE@GROUP:PORT.
//
// Only the lines that say who sends to which group matter here. So one odd line
// elsewhere, of which there are many in the field, costs nothing, and what could
// not be understood is told by its line.
package importer
