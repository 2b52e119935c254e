package membership

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// Membership is a named wish: these channels, on an interface that the rules
// accept, joined again as the rules allow when that interface is lost.
type Membership struct {
	// Name is unique among a manager's memberships: letters, digits, ".",
	// "_" and "-".
	Name string

	// Channels are what is joined, at least one, of either family. Order
	// and repetition mean nothing.
	Channels []Channel

	// AnyRange admits groups outside the source-specific ranges.
	AnyRange AnyRange

	// Rules say where. The lists in them are not copied: whoever hands
	// them over changes them no more.
	Rules reattach.Rules

	// Namespace is the network namespace of the interface: a name as
	// ip-netns(8) gives it, or the path of a file that one is mounted on.
	// Empty means the manager's own. It need not be there yet, and may be
	// deleted and made again; the manager does not keep it alive.
	Namespace string

	// Reannounce says when the network is told anew.
	Reannounce Reannounce

	// Socket is the caller's own datagram socket, for example a
	// *net.UDPConn, on which to join; nil means that the manager holds the
	// membership on sockets of its own. The manager never closes it, and
	// uses it only until the membership is removed or the manager's Run has
	// returned. What is joined on it already, on the interface that the
	// rules accept, counts as joined. Meanwhile nobody else may join or leave
	// the groups of the membership on it, but with KeepAlways. Several
	// memberships may name one socket, with the same Keep.
	//
	// It may be of another network namespace than the manager's: there the
	// interfaces are followed for it. That needs CAP_NET_ADMIN and
	// CAP_SYS_ADMIN over that namespace, and Linux 5.14.
	Socket syscall.Conn

	// Keep says what stays joined on Socket when the manager has no more to
	// do with it.
	Keep Keep
}

// Validate returns every error in the membership, joined. Applying it again
// gives the same.
func (m Membership) Validate() error {
	var errs []error
	if err := ValidateName(m.Name); err != nil {
		errs = append(errs, fmt.Errorf("name: %w", err))
	}
	if len(m.Channels) == 0 {
		errs = append(errs, errors.New("channels: none, want at least one"))
	}
	for _, c := range m.Channels {
		if err := c.Validate(m.AnyRange); err != nil {
			errs = append(errs, err)
		}
	}
	if err := m.Rules.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := m.Reannounce.validate(); err != nil {
		errs = append(errs, err)
	}
	if m.Namespace != "" {
		if err := ifwatch.ValidateNamespace(m.Namespace); err != nil {
			errs = append(errs, fmt.Errorf("netns: %w", err))
		}
	}
	if err := m.validateSocket(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (m Membership) validateSocket() error {
	if m.Keep < KeepNothing || m.Keep > KeepAlways {
		return fmt.Errorf("keep: %d, want KeepNothing, KeepAtEnd or KeepAlways", m.Keep)
	}
	if m.Socket == nil {
		if m.Keep != KeepNothing {
			return errors.New("keep: given without a caller's socket, want KeepNothing: the manager's own sockets are closed")
		}
		return nil
	}
	switch v := reflect.ValueOf(m.Socket); {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return fmt.Errorf("socket: a nil %T, want an open socket, or no Socket for the manager's own", m.Socket)
	case !v.Comparable():
		return fmt.Errorf("socket: a %T cannot be told from another, want a pointer, as *net.UDPConn is", m.Socket)
	case m.Namespace != "":
		return errors.New("netns: given with a caller's socket, which has its own already; want none")
	case m.Rules.Attach == reattach.AttachAll:
		return errors.New("attach: all, want one: a caller's socket is joined on one interface at a time")
	}
	return nil
}

// ValidateName returns an error where the name of a membership is malformed.
func ValidateName(name string) error {
	const want = `want letters, digits, ".", "_" and "-", and not dots alone`
	switch {
	case name == "":
		return errors.New("empty, " + want)
	case strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) }) >= 0, strings.Trim(name, ".") == "":
		return fmt.Errorf("%q, %s", name, want)
	}
	return nil
}

func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r)
}

// families returns the families of the channels, of which there are some, IPv4
// first. Nobody changes what it returns.
func (m Membership) families() []ifwatch.Family {
	has := func(f ifwatch.Family) bool {
		return slices.ContainsFunc(m.Channels, func(c Channel) bool { return c.Family() == f })
	}
	switch {
	case !has(ifwatch.IPv6):
		return bothFamilies[:1:1]
	case !has(ifwatch.IPv4):
		return bothFamilies[1:]
	}
	return bothFamilies
}
