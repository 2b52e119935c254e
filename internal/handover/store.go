package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/membership"
)

// The names under which the service manager stores the document and the
// descriptors.
const (
	documentName = "ssmd-handover"
	heldName     = "ssmd-held"
)

// Names are all names under which anything is stored.
func Names() []string { return []string{documentName, heldName} }

// Need returns for how many descriptors Store needs room.
func Need(h membership.Handover) int { return 1 + len(h.Descriptors) }

// Store gives everything to the service manager. The document goes first: there
// is never a socket without a word about it. It returns once the service manager
// has all that it wants to keep.
func Store(ctx context.Context, n *service.Notifier, h membership.Handover) error {
	data, err := encode(Parcel{Handover: h})
	if err != nil {
		return err
	}
	file, err := inMemory(data)
	if err != nil {
		return err
	}
	defer file.Close()
	err = n.Store(documentName, int(file.Fd()))
	if err == nil {
		err = n.Store(heldName, h.Descriptors...)
	}
	if err == nil {
		err = n.Barrier(ctx)
	}
	if err != nil {
		// What it keeps all the same would stay joined.
		return errors.Join(err, n.Remove(heldName), n.Remove(documentName))
	}
	return nil
}

func inMemory(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(documentName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	file := os.NewFile(uintptr(fd), documentName)
	if _, err := file.Write(data); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// Restore returns what an earlier run stored, nil where it stored nothing. The
// service manager keeps it no more: what it kept would go on being joined. With an
// error it may return less, or what the service manager keeps too.
func Restore(ctx context.Context, n *service.Notifier, stored map[string][]int) (*membership.Handover, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	h, err := restore(stored)
	for _, name := range Names() {
		err = errors.Join(err, n.Remove(name))
	}
	return h, errors.Join(err, n.Barrier(ctx))
}

// restore takes the newest document: a run that was killed may have left
// others. What these speak of is closed by whoever takes over.
func restore(stored map[string][]int) (*membership.Handover, error) {
	var newest *document
	err := errors.New("what an earlier run stored has no description")
	for _, fd := range stored[documentName] {
		file := os.NewFile(uintptr(fd), documentName)
		data, readErr := io.ReadAll(io.NewSectionReader(file, 0, longest))
		_ = file.Close()
		d, decodeErr := decode(data)
		if decodeErr = errors.Join(readErr, decodeErr); decodeErr != nil {
			err = decodeErr
			continue
		}
		if newest == nil || d.Written.After(newest.Written) {
			newest, err = &d, nil
		}
	}
	if newest == nil {
		for _, fd := range stored[heldName] {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	newest.Handover.Descriptors = stored[heldName]
	return &newest.Handover, nil
}
