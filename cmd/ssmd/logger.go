package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/ssmd-project/ssmd/config"
)

// logSettings are settings of loggers that may change while they are used.
type logSettings struct {
	level slog.LevelVar
	json  atomic.Bool
}

func newLogSettings(c config.Log) *logSettings {
	s := new(logSettings)
	s.set(c)
	return s
}

func (s *logSettings) set(c config.Log) {
	s.level.Set(c.Level)
	s.json.Store(c.Format == "json")
}

// newLogger returns a logger that goes by the settings as they are when it is
// used.
func newLogger(s *logSettings, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: &s.level}
	return slog.New(formatHandler{&s.json, slog.NewTextHandler(w, options), slog.NewJSONHandler(w, options)})
}

// formatHandler writes in the format of the moment.
type formatHandler struct {
	json         *atomic.Bool
	text, asJSON slog.Handler
}

func (h formatHandler) now() slog.Handler {
	if h.json.Load() {
		return h.asJSON
	}
	return h.text
}

// Enabled implements slog.Handler, as do the others.
func (h formatHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

func (h formatHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.now().Handle(ctx, r)
}

func (h formatHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return formatHandler{h.json, h.text.WithAttrs(a), h.asJSON.WithAttrs(a)}
}

func (h formatHandler) WithGroup(name string) slog.Handler {
	return formatHandler{h.json, h.text.WithGroup(name), h.asJSON.WithGroup(name)}
}
