package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Check returns an error where a command cannot be run, or where somebody else
// than root and the daemon's user could have it do something else: by writing to
// it, or to a directory that leads to it.
func Check(path string) error { return check(path, os.Geteuid()) }

func check(path string, user int) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("check hook: %w", err)
	}
	info, err := os.Stat(resolved)
	switch {
	case err != nil:
		return fmt.Errorf("check hook: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("check hook: %s is no file", resolved)
	}
	if err := unix.Access(resolved, unix.X_OK); err != nil {
		return fmt.Errorf("check hook: %s cannot be executed: %w, want for example: chmod 755 %s", resolved, err, resolved)
	}
	seen := make(map[string]bool)
	for _, place := range []string{resolved, filepath.Dir(path)} {
		for ; !seen[place]; place = filepath.Dir(place) {
			seen[place] = true
			if err := onlyOurs(place, user); err != nil {
				return err
			}
		}
	}
	return nil
}

var errOthers = errors.New("somebody else could change what runs")

// onlyOurs wants a file or a directory to be root's or the user's, and not
// writable by others. In a sticky directory nobody replaces another's file.
func onlyOurs(place string, user int) error {
	info, err := os.Stat(place)
	if err != nil {
		return fmt.Errorf("check hook: %w", err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != user {
		return fmt.Errorf("check hook: %s belongs to user %d: %w, want it to be root's: chown root %s", place, owner, errOthers, place)
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if info.Mode().Perm()&0o022 != 0 && !sticky {
		return fmt.Errorf("check hook: %s has the mode %04o: %w, want: chmod go-w %s", place, info.Mode().Perm(), errOthers, place)
	}
	return nil
}
