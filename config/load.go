package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Options say where the configuration comes from. The zero value works: the
// file is looked for, and no flags override it.
type Options struct {
	// Path is the file, "-" for standard input. Where it is empty,
	// ssmd.yaml is looked for in $XDG_CONFIG_HOME/ssmd (~/.config/ssmd where
	// that is not set) and in /etc/ssmd.
	Path string

	// Flags are the flags that AddFlags added, parsed. Nil means none.
	Flags *pflag.FlagSet
}

const (
	fileName      = "ssmd.yaml"
	systemDir     = "/etc/ssmd"
	stdinPath     = "-"
	stdinName     = "<standard input>"
	maxFileSize   = 16 << 20
	fileNotFormat = "not read by viper"
)

// AddFlags adds the flags of the daemon's own settings: --log-level,
// --log-format, --control-socket, --control-mode, --control-group,
// --control-readers, --handoff-socket, --handoff-mode, --handoff-group,
// --handoff-limit, --http-listen, --state-dir and --pace-joins-per-second.
// Their values are checked by Load.
func AddFlags(fs *pflag.FlagSet) {
	for _, s := range settings() {
		// Without a default: one shown here would be a lie where a file or
		// a variable says otherwise.
		fs.String(s.flag(), "", s.usage)
	}
}

// Load finds the file, reads it and what it includes once, checks all, and lays
// environment variables and flags over the daemon's own settings. The error is an Errors
// where something configured is wrong, wraps ErrNoFile where there is no file,
// or tells why it could not be read. It blocks as long as reading the file
// does: a named pipe is waited for.
func Load(o Options) (Config, error) {
	p, _, err := LoadAgain(o, Sources{})
	if err != nil {
		return Config{}, err
	}
	return p.Unpack(), nil
}

// LoadAgain is Load where last are the sources of a reading before, or none: what
// stands in the file as it did then is not decoded and checked again. It returns
// what was read too, also with an error: what has to change before the outcome can
// be another one.
func LoadAgain(o Options, last Sources) (Packed, Sources, error) {
	path := o.Path
	if path == "" {
		var err error
		if path, err = find(); err != nil {
			return Packed{}, Sources{}, err
		}
	}
	g := newGatherer()
	if last.main == path {
		g.last = last.reading
	}
	p, err := g.load(path, o.Flags)
	return p, g.result(), err
}

// load reads the file and what it includes.
func (g *gatherer) load(path string, flags *pflag.FlagSet) (Packed, error) {
	g.main = path
	data, err := g.read(path)
	if err != nil {
		return Packed{}, err
	}
	name := path
	if path == stdinPath {
		name = stdinName
	}
	p, err := g.parse(name, data)
	var errs Errors
	if err != nil && !errors.As(err, &errs) {
		return Packed{}, err
	}
	if len(errs) > 0 {
		p = Packed{Settings: defaults()} // what is wrong outside of the file is told all the same
	}
	errs = append(errs, overlay(&p.Settings, flags)...)
	if err := errs.orNil(); err != nil {
		return Packed{}, err
	}
	p.File = path
	return p, nil
}

// parse spares what it can.
func (g *gatherer) parse(name string, data []byte) (Packed, error) {
	r, ok := (*reading)(nil), false
	if g.last != nil {
		r, ok = g.last.again(name, data)
	}
	if !ok {
		r, ok = inPieces(name, data, g)
	}
	if !ok {
		return parse(name, data, g)
	}
	g.sources.reading = r
	return r.config, nil
}

// LoadWithoutFile returns the defaults, with environment variables and flags
// laid over the daemon's own settings, and no memberships. Without a file
// nothing is kept over a restart, unless a variable or a flag names where. The
// error is an Errors.
func LoadWithoutFile(o Options) (Config, error) {
	c := Config{Settings: defaults()}
	c.StateDir = ""
	if err := overlay(&c.Settings, o.Flags).orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// find lets viper look for the file. The working directory is not searched:
// in /tmp it would be anybody's file.
func find() (string, error) {
	var dirs []string
	if user, err := os.UserConfigDir(); err == nil {
		dirs = append(dirs, filepath.Join(user, "ssmd"))
	}
	dirs = append(dirs, systemDir)
	v := viper.New()
	v.SetConfigName(fileName)
	// A format that viper does not know makes it look for exactly this name,
	// and then leave the reading to us.
	v.SetConfigType(fileNotFormat)
	tried := make([]string, len(dirs))
	for i, dir := range dirs {
		v.AddConfigPath(dir)
		tried[i] = filepath.Join(dir, fileName)
	}
	err := v.ReadInConfig()
	if _, ok := errors.AsType[viper.UnsupportedConfigError](err); ok {
		return v.ConfigFileUsed(), nil
	}
	return "", &noFileError{tried: tried, remedy: "write one of them, or name another with -c"}
}

// read returns the whole content of a file, of at most so many bytes.
func read(path string, most int64) ([]byte, error) {
	in := os.Stdin
	if path != stdinPath {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &noFileError{tried: []string{path}, remedy: "write it, or name another with -c"}
		}
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	var data bytes.Buffer
	if info, err := in.Stat(); err == nil {
		if info.IsDir() {
			return nil, fmt.Errorf("read configuration: %s is a directory, want a file", path)
		}
		data.Grow(int(min(info.Size(), most)) + bytes.MinRead)
	}
	if _, err := data.ReadFrom(io.LimitReader(in, most+1)); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if int64(data.Len()) > most {
		return nil, fmt.Errorf("read configuration: %s is larger than 16 MiB, want a smaller file", path)
	}
	return data.Bytes(), nil
}

// overlay lets viper lay variables and flags over the daemon's own settings.
// Memberships do not pass through it: viper lowers keys and splits them at
// dots.
func overlay(c *Settings, flags *pflag.FlagSet) Errors {
	v := viper.New()
	var errs Errors
	for _, s := range settings() {
		v.SetDefault(s.path(), s.get(*c))
		origin := s.variable()
		_ = v.BindEnv(s.path(), s.variable()) // fails only without a key
		if flags != nil {
			if f := flags.Lookup(s.flag()); f != nil {
				_ = v.BindPFlag(s.path(), f) // fails only without a flag
				if f.Changed {
					origin = "--" + s.flag()
				}
			}
		}
		// The file's value passes too: it is the text of a checked one.
		if err := s.set(c, v.GetString(s.path())); err != nil {
			errs = append(errs, Error{Path: origin, Message: err.Error()})
		}
	}
	return errs
}
