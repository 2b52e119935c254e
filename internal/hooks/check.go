package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/text"
)

// Check returns an error where this process could not run a command, or where
// somebody else than root and its own user could have it do something else: by
// writing to it, or to a directory or a link that leads to it.
func Check(path string) error { return check(path, os.Geteuid()) }

func check(path string, user int) error {
	resolved, err := follow(path, user)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w, want an executable file", err)
	}
	if err != nil {
		return err
	}
	info, err := os.Lstat(resolved)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file, want an executable one", resolved)
	}
	if err := unix.Access(resolved, unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be executed: %w, want for example: chmod 755 %s", resolved, err, text.ShellWord(resolved))
	}
	return nil
}

// mostLinks is how many the kernel follows (path_resolution(7)).
const mostLinks = 40

// follow goes along a path as the kernel does, and wants all on the way to be
// ours. It returns what is at the end.
func follow(path string, user int) (at string, err error) {
	at = "/"
	if _, err := onlyOurs(at, user); err != nil {
		return "", err
	}
	links := 0
	for rest := path; rest != ""; {
		var name string
		switch name, rest, _ = strings.Cut(rest, "/"); name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := onlyOurs(next, user)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > mostLinks {
			return "", &fs.PathError{Op: "follow", Path: path, Err: unix.ELOOP}
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = to + "/" + rest
	}
	return at, nil
}

var errOthers = errors.New("somebody else could change what runs")

// onlyOurs wants a file, a directory or a link to be root's or the user's, and not
// writable by others. In a sticky directory nobody replaces another's file.
func onlyOurs(place string, user int) (fs.FileInfo, error) {
	info, err := os.Lstat(place)
	if err != nil {
		return nil, err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != user {
		return nil, fmt.Errorf("%s belongs to user %d: %w, want it to be root's: chown -h root %s", place, owner, errOthers, text.ShellWord(place))
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	link := info.Mode()&fs.ModeSymlink != 0 // its mode says nothing
	if info.Mode().Perm()&0o022 != 0 && !sticky && !link {
		return nil, fmt.Errorf("%s has the mode %04o: %w, want: chmod go-w %s", place, info.Mode().Perm(), errOthers, text.ShellWord(place))
	}
	return info, nil
}
