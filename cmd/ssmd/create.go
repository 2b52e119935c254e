package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// createWhole makes a file, which appears with all that is in it: a daemon may
// watch its directory. A file that is there is left alone.
func createWhole(path string, content []byte) (err error) {
	// Hidden files match no pattern of the configuration's include.
	temporary, err := os.CreateTemp(filepath.Dir(path), ".ssmd-import-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Link(temporary.Name(), path) // unlike a rename it replaces nothing
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
