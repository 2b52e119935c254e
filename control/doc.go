// Package control is the local control API of the daemon: a server on a unix
// socket, and its client.
//
// It speaks HTTP/1.1 and JSON. Fields are snake_case, times RFC 3339, durations
// in seconds, and every error is a problem detail (RFC 9457):
//
//	GET /v1/memberships                    every membership, sorted by name
//	GET, PUT, DELETE /v1/memberships/NAME  one membership
//	GET /v1/memberships/NAME/explain       every interface against every rule
//	POST /v1/memberships/NAME/approve      and /reannounce
//	GET /v1/interfaces                     the interface instances, by index
//	POST /v1/interfaces/NAME/drain         and /undrain
//	GET, POST /v1/adoptions                what is adopted; DELETE /v1/adoptions/ID
//	GET /v1/events                         one JSON object a line, from now on
//	GET /v1/status                         the daemon itself
//	POST /v1/reload                        reads the configuration anew
//
// The file's mode and group decide who may open the socket, and [Access] who of
// these may do more than read.
package control
