package filewatch

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// IsPattern reports whether a path has characters that mean something to
// Expand.
func IsPattern(path string) bool { return strings.ContainsAny(path, `*?[\`) }

// ValidatePattern says what is wrong with a pattern.
func ValidatePattern(pattern string) error {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return errors.New(`a set or an escape in it has no end, want for example "*.yaml"`)
	}
	return nil
}

var escapes = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// Escape returns a pattern that only this path matches.
func Escape(path string) string { return escapes.Replace(path) }

// Expand returns what matches a pattern of filepath.Match, in lexical order.
// As in a shell, only a pattern that begins with a dot matches a name that
// does. Where there is no such directory nothing matches; one that cannot be
// read is an error.
func Expand(pattern string) ([]string, error) {
	found := []string{""}
	if filepath.IsAbs(pattern) {
		found = []string{"/"}
	}
	for _, s := range split(pattern) {
		var next []string
		for _, dir := range found {
			names, err := namesIn(dir, s)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				next = append(next, filepath.Join(dir, name))
			}
		}
		found = next
	}
	return found, nil
}

// split returns the elements of a path.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// namesIn returns the names in a directory that one element of a pattern
// matches, sorted.
func namesIn(dir, element string) ([]string, error) {
	if !IsPattern(element) {
		_, err := os.Lstat(filepath.Join(dir, element))
		if isNothing(err) {
			return nil, nil
		}
		return []string{element}, err
	}
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if isNothing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list what matches %s: %w", element, err)
	}
	var names []string
	for _, e := range entries {
		if matches(element, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// isNothing finds the errors of what is not there.
func isNothing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// matches reports whether one element of a pattern matches a name.
func matches(element, name string) bool {
	matched, err := filepath.Match(element, name)
	return err == nil && matched && (name[0] != '.' || strings.HasPrefix(element, "."))
}
