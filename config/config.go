package config

import (
	"io/fs"
	"log/slog"
	"time"

	"github.com/ssmd-project/ssmd/internal/socketpath"
	"github.com/ssmd-project/ssmd/membership"
)

// DefaultSocket is the path of the control socket where none is configured.
const DefaultSocket = socketpath.Default

// DefaultStateDir is where the daemon keeps what must survive a restart where
// nothing else is configured.
const DefaultStateDir = "/var/lib/ssmd"

const (
	defaultLevel  = slog.LevelInfo
	defaultFormat = "text"
	defaultMode   = fs.FileMode(0o660)

	defaultAudit    = 30 * time.Second
	defaultHandoffs = 64
)

// Config is a whole, checked configuration: every default is spelled out in
// it, and every membership in it is valid. It is a value that nobody changes:
// memberships share slices.
type Config struct {
	Settings

	// Memberships are in the order of the file. The channels of each are
	// sorted and without repetition, its rules are normalized.
	Memberships []membership.Membership

	// Monitors are those of the memberships that have one, by their names.
	Monitors map[string]Monitor
}

// Settings are the daemon's own, and where they came from.
type Settings struct {
	// File is the file it came from, "-" where that was standard input,
	// empty where there was none.
	File string

	Log     Log
	Control Control
	Handoff Handoff
	HTTP    HTTP
	Pace    Pace

	// Audit is the time between comparisons with the kernel's groups; zero:
	// only where something hints at a loss.
	Audit time.Duration

	// StateDir is where the daemon keeps what must survive a restart. Empty:
	// nothing does.
	StateDir string

	// Hooks are in the order of the file.
	Hooks []Hook
}

// Log says what the daemon logs, and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Control says where the control API listens, and who may use it.
type Control struct {
	Socket  string      // path of the unix socket
	Mode    fs.FileMode // its permissions
	Group   string      // its group, by name or number, whose members change; empty: the daemon's own
	Readers string      // the group whose members may read, by name or number; empty: none
}

// Handoff says where applications hand over their sockets, and who may.
type Handoff struct {
	Socket string      // path of the unix socket, empty: nowhere
	Mode   fs.FileMode // its permissions
	Group  string      // its group, by name or number, whose members may; empty: the daemon's own
	Limit  int         // how many sockets at a time
}

// HTTP says where metrics and health are told, and whether more is.
type HTTP struct {
	Listen string // HOST:PORT; without a host every address, empty: nowhere
	Status bool   // the status page is there too, with names
}

// Pace says how fast channels are joined.
type Pace struct {
	JoinsPerSecond int // over all memberships and namespaces; zero: no limit
}

// defaults are those of an empty file.
func defaults() Settings {
	return Settings{
		Log:      Log{Level: defaultLevel, Format: defaultFormat},
		Control:  Control{Socket: DefaultSocket, Mode: defaultMode},
		Handoff:  Handoff{Mode: defaultMode, Limit: defaultHandoffs},
		Audit:    defaultAudit,
		StateDir: DefaultStateDir,
	}
}
