package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"slices"
)

// Sources are what a configuration was read from.
type Sources struct {
	// Files were read, or looked for, by name: the main file, and those
	// that include names. Of standard input there is none.
	Files []string

	// Patterns are those of include. What they match was read too.
	Patterns []string

	// Sizes are the bytes of each file that was read.
	Sizes map[string]int

	// Digest is equal where the same files had the same content, or could
	// not be read for the same reason.
	Digest string

	main     string   // the main file
	includes []string // the elements of include
	reading  *reading // nil where the file is to be read as a whole
}

// Current reports whether what would be read now is what was read then. It only
// reads, which takes a hundredth of the time of Load. Of sources of nothing it
// says no.
func (s Sources) Current() bool {
	if s.main == "" || s.main == stdinPath {
		return false
	}
	g := newGatherer()
	g.main = s.main
	if _, err := g.read(s.main); err != nil {
		return g.result().Digest == s.Digest
	}
	for _, file := range g.findIncluded(s.includes, func(int, error) {}) { // errors are in the digest
		_, _ = g.readIncluded(file) // likewise
	}
	return g.result().Digest == s.Digest
}

// Emptied returns a file without a byte that had some before, nothing where
// there is none.
func (s Sources) Emptied(before Sources) string {
	for _, file := range slices.Sorted(maps.Keys(s.Sizes)) {
		if s.Sizes[file] == 0 && before.Sizes[file] > 0 {
			return file
		}
	}
	return ""
}

// gatherer reads the files of one configuration, and notes which.
type gatherer struct {
	main    string
	sources Sources
	digest  hash.Hash
	left    int64    // how many bytes may still be read
	last    *reading // of the file, nil for none
}

func newGatherer() *gatherer {
	return &gatherer{sources: Sources{Sizes: make(map[string]int)}, digest: sha256.New(), left: maxFileSize}
}

func (g *gatherer) result() Sources {
	g.sources.Digest, g.sources.main = string(g.digest.Sum(nil)), g.main
	return g.sources
}

// read reads the main file.
func (g *gatherer) read(path string) ([]byte, error) {
	if path != stdinPath {
		g.sources.Files = append(g.sources.Files, path)
	}
	data, err := read(path, g.left)
	g.note(path, data, err)
	return data, err
}

// readIncluded reads a file that was found. Only a regular one cannot block.
func (g *gatherer) readIncluded(path string) ([]byte, error) {
	data, err := g.readRegular(path)
	g.note(path, data, err)
	return data, err
}

func (g *gatherer) readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, bare(err)
	case info.IsDir():
		return nil, errors.New("a directory, want a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("no regular file, want one")
	case info.Size() > g.left:
		return nil, fmt.Errorf("all files together are larger than %d MiB, want less", maxFileSize>>20)
	}
	data, err := read(path, g.left)
	return data, bare(err)
}

// note takes the outcome of reading a file into the digest.
func (g *gatherer) note(path string, data []byte, err error) {
	g.left -= int64(len(data))
	outcome := data
	if err == nil {
		g.sources.Sizes[path] = len(data)
	} else {
		outcome = []byte("error: " + err.Error())
	}
	for _, part := range [][]byte{[]byte(path), outcome} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = g.digest.Write(size[:]) // a hash takes everything
		_, _ = g.digest.Write(part)
	}
}
