package main

import (
	"errors"
	"os"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// source is where the configuration comes from, to be read again and again.
type source struct {
	options config.Options
	joins   []membership.Membership // of --join
	last    config.Sources          // of the last good reading
}

// read reads it for the first time. From then on it is that file, whatever
// others appear.
func (s *source) read() (config.Packed, error) {
	if s.options.Path == "" && len(s.joins) > 0 {
		c, err := config.LoadWithoutFile(s.options)
		return config.Pack(c).With(s.joins), err
	}
	c, _, err := s.load()
	if err == nil {
		s.options.Path = c.File
	}
	return c, err
}

// again reads it anew. What can be read only once is a control.NoReloadError.
func (s *source) again() (config.Packed, config.Sources, error) {
	if err := s.once(); err != nil {
		return config.Packed{}, config.Sources{}, err
	}
	return s.load()
}

// once says why it cannot be read again, nil where it can.
func (s *source) once() error {
	path := s.options.Path
	switch path {
	case "":
		return &control.NoReloadError{Why: "the daemon runs without a file"}
	case "-":
		return &control.NoReloadError{Why: "standard input cannot be read again"}
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return &control.NoReloadError{Why: path + " is no regular file and cannot be read again"}
	}
	return nil
}

func (s *source) load() (config.Packed, config.Sources, error) {
	c, sources, err := config.LoadAgain(s.options, s.last)
	if err == nil {
		s.last = sources
		err = checkNames(c.Names(), s.joins)
	}
	if err != nil {
		return config.Packed{}, sources, err
	}
	return c.With(s.joins), sources, nil
}

// flaws returns all that is wrong with a configuration.
func flaws(err error) []control.Flaw {
	all, ok := errors.AsType[config.Errors](err)
	if !ok {
		return []control.Flaw{{Message: err.Error()}}
	}
	found := make([]control.Flaw, len(all))
	for i, e := range all {
		found[i] = control.Flaw(e)
	}
	return found
}
