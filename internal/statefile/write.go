package statefile

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/renameio/v2"
)

// JSONWriter is a value that writes itself as JSON, with nothing before or after
// it. Equal values write the same.
type JSONWriter interface {
	WriteJSON(w io.Writer) error
}

func writeJSON(w io.Writer, value any) error {
	if v, ok := value.(JSONWriter); ok {
		return v.WriteJSON(w)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// checksum returns that of a state without keeping what would be written.
func checksum(value any) (string, error) {
	digest := sha256.New()
	err := writeJSON(digest, value)
	return hex.EncodeToString(digest.Sum(nil)), err
}

// prepare writes the whole file under another name, and returns the checksum of
// the state in it.
func (s *Store) prepare(value any) (*renameio.PendingFile, string, error) {
	f, err := renameio.NewPendingFile(s.Path(), renameio.WithPermissions(0o600), renameio.IgnoreUmask(), renameio.WithTempDir(s.dir))
	if err != nil {
		return nil, "", err
	}
	sum, err := writeDocument(f, value)
	if err != nil {
		return nil, "", errors.Join(err, f.Cleanup())
	}
	return f, sum, nil
}

// writeDocument writes a document, whose checksum comes last though it stands
// before what it is of.
func writeDocument(f interface {
	io.Writer
	io.WriterAt
}, value any) (string, error) {
	const blank = sha256.Size * 2
	head := fmt.Sprintf(`{"format":%q,"version":%d,"sha256":"`, format, version)
	const between = `","state":`
	digest := sha256.New()
	out := bufio.NewWriterSize(f, 64<<10)
	_, _ = out.WriteString(head + strings.Repeat("0", blank) + between) // the writer keeps its first error for Flush
	if err := writeJSON(io.MultiWriter(out, digest), value); err != nil {
		return "", err
	}
	_, _ = out.WriteString("}\n")
	if err := out.Flush(); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(digest.Sum(nil))
	_, err := f.WriteAt([]byte(sum), int64(len(head)))
	return sum, err
}
