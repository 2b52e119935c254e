package hooks

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"strings"
)

// What of a command's output is logged.
const (
	mostLines  = 50
	longestRow = 512 // bytes
)

// logOutput logs what a command writes, up to a bound, and reads on to the end: a
// command that writes much is not held up.
func logOutput(r io.Reader, log *slog.Logger) {
	buffered := bufio.NewReaderSize(r, longestRow)
	lines, dropped, within := 0, 0, false
	for {
		row, err := buffered.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		text := strings.TrimSpace(string(row))
		switch {
		case within, text == "": // the rest of a line that was too long
		case lines < mostLines:
			lines++
			log.Info("a hook says", "output", strings.ToValidUTF8(text, "?"))
		default:
			dropped++
		}
		within = len(row) > 0 && row[len(row)-1] != '\n'
		if err != nil {
			break
		}
	}
	if dropped > 0 {
		log.Warn("a hook says too much", "lines", dropped)
	}
}
