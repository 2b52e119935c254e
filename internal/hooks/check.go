package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/text"
)

// Check returns an error where this process could not run a command, or where
// somebody else than root and its own user could have it do something else: by
// writing to it, or to a directory that leads to it.
func Check(path string) error { return check(path, os.Geteuid()) }

func check(path string, user int) error {
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w, want an executable file", err)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(resolved)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file, want an executable one", resolved)
	}
	if err := unix.Access(resolved, unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be executed: %w, want for example: chmod 755 %s", resolved, err, text.ShellWord(resolved))
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
		return err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != user {
		return fmt.Errorf("%s belongs to user %d: %w, want it to be root's: chown root %s", place, owner, errOthers, text.ShellWord(place))
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	if info.Mode().Perm()&0o022 != 0 && !sticky {
		return fmt.Errorf("%s has the mode %04o: %w, want: chmod go-w %s", place, info.Mode().Perm(), errOthers, text.ShellWord(place))
	}
	return nil
}
