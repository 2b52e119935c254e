package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/filewatch"
)

// maxFiles bounds how many files one includes.
const maxFiles = 10_000

// include is an element of the key, and where it stands.
type include struct {
	pattern string
	node    *yaml.Node
	at      *place
}

// include reads the names and patterns of files; which there are comes later.
func (r *reader) include(n *yaml.Node, at *place) {
	const want = `a file, a directory or a pattern, for example "memberships.d/*.yaml"`
	r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.text(n, at, want)
		if !ok {
			return
		}
		if text == "" {
			r.fail(n, at, "empty, want %s", want)
			return
		}
		if err := filewatch.ValidatePattern(text); err != nil {
			r.fail(n, at, "%s: %v", quote(text), err)
			return
		}
		here := *at // which is only good during this call
		r.includes = append(r.includes, include{text, n, &here})
	})
}

// includeAll reads what is included, file by file.
func (r *reader) includeAll(g *gatherer, c *Config) {
	for _, i := range r.includes {
		g.sources.includes = append(g.sources.includes, i.pattern)
	}
	files := g.findIncluded(g.sources.includes, func(i int, err error) {
		r.fail(r.includes[i].node, r.includes[i].at, "%v", err)
	})
	for _, file := range files {
		if r.stopped {
			return
		}
		r.included(g, file, c)
	}
}

// findIncluded returns the files that are included, each once. It says what is
// wrong with which element.
func (g *gatherer) findIncluded(patterns []string, wrong func(element int, err error)) []string {
	var files []string
	known := make(map[string]bool)
	for i, pattern := range patterns {
		found, err := g.expand(pattern)
		if err != nil {
			wrong(i, err)
		}
		for _, file := range found {
			switch {
			case known[file]:
				continue
			case g.isMain(file):
				wrong(i, fmt.Errorf("%s is this file itself, want others", quote(file)))
			case len(files) == maxFiles:
				wrong(i, fmt.Errorf("more than %d files, want fewer", maxFiles))
				return files
			default:
				files = append(files, file)
			}
			known[file] = true
		}
	}
	return files
}

// included reads one file more.
func (r *reader) included(g *gatherer, file string, c *Config) {
	r.errs.sort()
	r.before, r.errs, r.file = append(r.before, r.errs...), nil, file
	data, err := g.readIncluded(file)
	if err != nil {
		r.errs = Errors{{File: file, Message: err.Error()}}
		return
	}
	root, err := document(file, data)
	if wrong, ok := errors.AsType[Errors](err); ok {
		r.errs = wrong
		return
	}
	if root == nil || isNull(root) {
		return
	}
	r.visits += 2 * len(data)
	if f, ok := r.mapping(root, nil, includedKeys(), `a mapping, as "memberships:"`); ok {
		r.wishes(f, nil, c)
	}
}

func includedKeys() keys {
	top := topKeys()
	return keys{known: []string{"defaults", "memberships"}}.
		refuse("not a key of a file that is included, want it in the file that includes it",
			append(slices.Collect(maps.Keys(top.refused)), top.known...)...)
}

// expand returns the files that an element of include stands for, sorted. A
// directory stands for what ends in .yaml in it.
func (g *gatherer) expand(pattern string) ([]string, error) {
	files, err := g.match(pattern)
	if err != nil {
		g.note(pattern, nil, err)
	}
	return files, err
}

func (g *gatherer) match(pattern string) ([]string, error) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filewatch.Escape(filepath.Dir(g.main)), pattern)
	}
	if !filewatch.IsPattern(pattern) {
		g.sources.Files = append(g.sources.Files, pattern)
		info, err := os.Stat(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; a pattern may match nothing", pattern, bare(err))
		}
		if !info.IsDir() {
			return []string{pattern}, nil
		}
		pattern = filepath.Join(pattern, "*.yaml")
	}
	g.sources.Patterns = append(g.sources.Patterns, pattern)
	return filewatch.Expand(pattern)
}

// isMain reports whether a file is that which includes.
func (g *gatherer) isMain(file string) bool {
	a, errA := os.Stat(file)
	b, errB := os.Stat(g.main)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// bare drops the name of a file from an error that says it already.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return wrapped.Err
	}
	return err
}
