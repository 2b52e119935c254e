// Package socketpath says what can be the path of the control socket: for the
// configuration, the server and the client alike.
package socketpath

import (
	"errors"
	"fmt"

	"github.com/ssmd-project/ssmd/internal/text"
)

// Default is the path where none is configured.
const Default = "/run/ssmd/control.sock"

// Longest is how many bytes a path may have: what fits into sockaddr_un with its final zero byte, unix(7).
const Longest = 107

// Validate returns an error where a path cannot be that of a control socket. It
// does not look at the file system.
func Validate(path string) error {
	switch {
	case path == "":
		return errors.New("empty, want a path, for example " + Default)
	case path[0] == '@':
		return fmt.Errorf("%q is an abstract socket, which has neither mode nor group, want a path", path)
	case len(path) > Longest:
		return fmt.Errorf("%d bytes long, want a path of at most %d", len(path), Longest)
	case !text.Printable(path):
		return fmt.Errorf("%q has a character that cannot be printed, want a path without", path)
	}
	return nil
}
