package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ssmd-project/ssmd/internal/socketpath"
	"github.com/ssmd-project/ssmd/internal/text"
)

// setting is one of the daemon's own settings: what a file, a variable and a
// flag may all give, as the same text.
type setting struct {
	section, key string // the section is empty at the top level
	usage        string // of the flag
	doc          string // of the key, in plain sentences
	form         form
	get          func(Settings) string         // the value as text
	set          func(*Settings, string) error // reads the text; the error names neither place nor key
}

// path names the setting in a file.
func (s setting) path() string { return strings.TrimPrefix(s.section+"."+s.key, ".") }

var (
	flagForm     = strings.NewReplacer(".", "-", "_", "-")
	variableForm = strings.NewReplacer(".", "_")
)

// flag names the setting's flag, without dashes in front.
func (s setting) flag() string { return flagForm.Replace(s.path()) }

// variable names the setting's environment variable.
func (s setting) variable() string {
	return "SSMD_" + strings.ToUpper(variableForm.Replace(s.path()))
}

// settings returns all settings in the order in which they are printed.
func settings() []setting {
	return []setting{{
		section: "log", key: "level",
		usage: "log from this `level` on: debug, info, warn or error; instead of the file's",
		doc:   "What is less is not logged.",
		form:  choiceForm(levelTexts()...),
		get:   func(c Settings) string { return levelText(c.Log.Level) },
		set:   func(c *Settings, text string) (err error) { c.Log.Level, err = parseLevel(text); return err },
	}, {
		section: "log", key: "format",
		usage: "log in this `format`: text or json; instead of the file's",
		doc:   "How a line of the log looks.",
		form:  choiceForm(formats...),
		get:   func(c Settings) string { return c.Log.Format },
		set:   func(c *Settings, text string) error { return setFormat(c, text) },
	}, {
		section: "control", key: "socket",
		usage: "`path` of the control socket; instead of the file's",
		doc:   "The path of the control socket, at most 107 bytes long.",
		form:  form{"a path", object{"type": "string", "pattern": "^[^@]", "maxLength": socketpath.Longest}},
		get:   func(c Settings) string { return c.Control.Socket },
		set:   func(c *Settings, text string) error { return setSocket(c, text) },
	}, {
		section: "control", key: "mode",
		usage: "octal permission `bits` of the control socket, as 0660; instead of the file's",
		doc:   "The permissions of the control socket.",
		form:  modeForm(),
		get:   func(c Settings) string { return modeText(c.Control.Mode) },
		set:   func(c *Settings, text string) (err error) { c.Control.Mode, err = parseMode(text); return err },
	}, {
		section: "control", key: "group",
		usage: "`group` of the control socket, empty for the daemon's own; instead of the file's",
		doc:   "Whose members may do everything over the socket; empty: the group of the process.",
		form:  textForm("a group's name or number, in quotes"),
		get:   func(c Settings) string { return c.Control.Group },
		set:   func(c *Settings, text string) error { return setGroup(&c.Control.Group, text) },
	}, {
		section: "control", key: "readers",
		usage: "`group` whose members may read over the control socket, empty for none; instead of the file's",
		doc:   "Whose members may ask, and change nothing; empty: nobody.",
		form:  textForm("a group's name or number, in quotes"),
		get:   func(c Settings) string { return c.Control.Readers },
		set:   func(c *Settings, text string) error { return setGroup(&c.Control.Readers, text) },
	}, {
		section: "handoff", key: "socket",
		usage: "`path` of the socket on which applications hand theirs over, empty for none; instead of the file's",
		doc:   "The path of the socket on which applications hand over theirs, at most 107 bytes long; empty: none.",
		form:  form{"a path, or empty", object{"type": "string", "pattern": "^[^@]|^$", "maxLength": socketpath.Longest}},
		get:   func(c Settings) string { return c.Handoff.Socket },
		set:   func(c *Settings, text string) error { return setHandoffSocket(c, text) },
	}, {
		section: "handoff", key: "mode",
		usage: "octal permission `bits` of the hand-over socket, as 0660; instead of the file's",
		doc:   "The permissions of the hand-over socket. Where everybody may write, everybody may hand over.",
		form:  modeForm(),
		get:   func(c Settings) string { return modeText(c.Handoff.Mode) },
		set:   func(c *Settings, text string) (err error) { c.Handoff.Mode, err = parseMode(text); return err },
	}, {
		section: "handoff", key: "group",
		usage: "`group` of the hand-over socket, empty for the daemon's own; instead of the file's",
		doc:   "Whose members may hand over; empty: the group of the process.",
		form:  textForm("a group's name or number, in quotes"),
		get:   func(c Settings) string { return c.Handoff.Group },
		set:   func(c *Settings, text string) error { return setGroup(&c.Handoff.Group, text) },
	}, {
		section: "handoff", key: "limit",
		usage: "keep at most so many sockets of applications at a time; instead of the file's `number`",
		doc:   "How many sockets may be handed over at a time. Users other than root and the daemon's own have seven eighths of it, each of them half.",
		form:  numberForm("a number", 1, mostHandoffs),
		get:   func(c Settings) string { return strconv.Itoa(c.Handoff.Limit) },
		set:   func(c *Settings, text string) (err error) { c.Handoff.Limit, err = parseLimit(text); return err },
	}, {
		section: "http", key: "listen",
		usage: "`address` of metrics and health, as 127.0.0.1:9781, empty for none; instead of the file's",
		doc:   "The address of metrics and health; empty: none.",
		form:  patternForm("HOST:PORT, or empty", listenPattern),
		get:   func(c Settings) string { return c.HTTP.Listen },
		set:   func(c *Settings, text string) error { return setListen(c, text) },
	}, {
		section: "http", key: "status",
		usage: "show the status page where metrics and health are: `true` or false; instead of the file's",
		doc:   "Whether the status page is there too, which names memberships, channels and interfaces to everybody who reaches the address.",
		form:  truthForm(),
		get:   func(c Settings) string { return strconv.FormatBool(c.HTTP.Status) },
		set:   func(c *Settings, text string) (err error) { c.HTTP.Status, err = parseBool(text); return err },
	}, {
		key:   "state_dir",
		usage: "`directory` for what must survive a restart, empty for nothing; instead of the file's",
		doc:   "Where the daemon keeps what must survive a restart; empty: nothing does.",
		form:  patternForm("an absolute path, or empty", "^(/.*)?$"),
		get:   func(c Settings) string { return c.StateDir },
		set:   func(c *Settings, text string) error { return setStateDir(c, text) },
	}, {
		section: "pace", key: "joins_per_second",
		usage: "make at most so many joins a second, 0 for no limit; instead of the file's `number`",
		doc:   "At most so many joins a second, over all memberships and namespaces; 0: no limit.",
		form:  numberForm("a number, or 0 for no limit", 0, mostJoinsPerSecond),
		get:   func(c Settings) string { return strconv.Itoa(c.Pace.JoinsPerSecond) },
		set:   func(c *Settings, text string) (err error) { c.Pace.JoinsPerSecond, err = parseJoins(text); return err },
	}}
}

// mostJoinsPerSecond is more than any kernel makes.
const mostJoinsPerSecond = 1_000_000

func parseJoins(text string) (int, error) {
	number, ok := parseNumber(text)
	if !ok || number > mostJoinsPerSecond {
		return 0, fmt.Errorf("%q, want %s", text, wantJoins)
	}
	return number, nil
}

// mostHandoffs is more than one daemon is asked to keep.
const mostHandoffs = 10_000

func parseLimit(text string) (int, error) {
	number, ok := parseNumber(text)
	if !ok || number < 1 || number > mostHandoffs {
		return 0, fmt.Errorf("%q, want %s", text, wantLimit)
	}
	return number, nil
}

// wantJoins and wantLimit say what would be right.
var (
	wantJoins = fmt.Sprintf("a number from 1 to %d, or 0 for no limit", mostJoinsPerSecond)
	wantLimit = fmt.Sprintf("a number from 1 to %d", mostHandoffs)
)

// parseNumber reads plain decimal digits.
func parseNumber(text string) (number int, ok bool) {
	number, err := strconv.Atoi(text)
	return number, err == nil && strconv.Itoa(number) == text && number >= 0
}

// asKey describes the setting as a key of the file.
func (s setting) asKey() Key {
	// Quoted where YAML would read something else.
	def := s.get(defaults())
	if def == "" || s.key == "mode" {
		def = strconv.Quote(def)
	}
	k := newKey(s.key, def, s.form, s.doc)
	k.Flag, k.Variable = s.flag(), s.variable()
	return k
}

var (
	levels  = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	formats = []string{"text", "json"}
)

func levelText(l slog.Level) string { return strings.ToLower(l.String()) }

func levelTexts() []string {
	texts := make([]string, len(levels))
	for i, l := range levels {
		texts[i] = levelText(l)
	}
	return texts
}

func parseLevel(text string) (slog.Level, error) {
	for _, l := range levels {
		if text == levelText(l) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("unknown level %q, want %s", text, oneOf(levelTexts()))
}

func setFormat(c *Settings, text string) error {
	if !slices.Contains(formats, text) {
		return fmt.Errorf("unknown format %q, want %s", text, oneOf(formats))
	}
	c.Log.Format = text
	return nil
}

func setSocket(c *Settings, path string) error {
	if err := socketpath.Validate(path); err != nil {
		return err
	}
	c.Control.Socket = path
	return nil
}

func setHandoffSocket(c *Settings, path string) error {
	if path != "" {
		if err := socketpath.Validate(path); err != nil {
			return err
		}
	}
	c.Handoff.Socket = path
	return nil
}

var errMode = errors.New(`want three or four octal digits up to 0777, for example "0660"`)

func modeText(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }

// parseMode reads octal permission bits: 0660, 660 or 0o660.
func parseMode(text string) (fs.FileMode, error) {
	digits := strings.TrimPrefix(text, "0o")
	mode, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || len(digits) < 3 || len(digits) > 4 || mode > 0o777 {
		return 0, fmt.Errorf("%q is no mode, %w", text, errMode)
	}
	return fs.FileMode(mode), nil
}

func setGroup(to *string, group string) error {
	if !text.Printable(group) {
		return fmt.Errorf("%q has a character that cannot be printed, want the name of a group", group)
	}
	*to = group
	return nil
}

// parseBool reads what a flag or a variable says; a file has YAML's own.
func parseBool(text string) (bool, error) {
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%q, want true or false", text)
	}
	return value, nil
}

// setListen takes HOST:PORT. Without a host it is every address of this machine.
func setListen(c *Settings, listen string) error {
	if listen == "" {
		c.HTTP.Listen = ""
		return nil
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on, want HOST:PORT, for example 127.0.0.1:9781, [::1]:9781 or :9781, or nothing", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port, want a number from 1 to 65535 after the last colon", listen)
	}
	if !isHost(host) {
		return fmt.Errorf("%q names no host, want an IP address, a host name, or nothing before the port", listen)
	}
	c.HTTP.Listen = listen
	return nil
}

// hostName is what a name can be that is looked up. Whether it is known turns
// out when it is.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

// isHost reports whether there can be an address behind it. Numbers and dots
// alone are no name but an address that went wrong.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return hostName.MatchString(host) && strings.Trim(host, "0123456789.") != "" && len(host) <= 253
}

func setStateDir(c *Settings, dir string) error {
	switch {
	case dir != "" && !filepath.IsAbs(dir):
		return fmt.Errorf("%q is no absolute path, want for example %s, or nothing", dir, DefaultStateDir)
	case !text.Printable(dir):
		return fmt.Errorf("%q has a character that cannot be printed, want a directory", dir)
	}
	c.StateDir = dir
	return nil
}
