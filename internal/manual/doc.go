// Package manual writes the manual pages, in mdoc(7): ssmd(8) of the commands
// and their flags, ssmd.yaml(5) of the keys of the file. What the program knows
// of itself is said nowhere a second time.
package manual
