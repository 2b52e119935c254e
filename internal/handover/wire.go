package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Over a unix stream socket goes the length of the document, 8 bytes, big-endian;
// the document; then the descriptors, as many at a time as the kernel takes, with
// one byte each time. The receiver answers with one byte once it has everything
// and can go on with it; the sender with another once it holds nothing any more.
const (
	longest         = 256 << 20 // of a document
	mostDescriptors = 253       // with one message, SCM_MAX_FD in unix(7)
	mostOfAll       = 1 << 20
	taken           = 't'
	given           = 'g'
)

// Send hands everything over, and returns nil once the other process says that it
// has it.
func Send(conn *net.UnixConn, p Parcel) error {
	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err == nil {
		p.process = os.NewFile(uintptr(fd), "process")
		defer p.process.Close()
	}
	data, err := encode(p)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint64(nil, uint64(len(data))), data...)); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	all := make([]int, 0, 1+len(p.Listeners)+len(p.Descriptors))
	if p.process != nil {
		all = append(all, int(p.process.Fd()))
	}
	for _, l := range p.Listeners {
		fd, err := numberOf(l.File)
		if err != nil {
			return fmt.Errorf("hand over %s: %w", l.Name, err)
		}
		all = append(all, fd)
	}
	for some := range slices.Chunk(append(all, p.Descriptors...), mostDescriptors) {
		if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(some...), nil); err != nil {
			return fmt.Errorf("hand over descriptors: %w", err)
		}
	}
	if err := awaitByte(conn, taken); err != nil {
		return fmt.Errorf("hand over: the other process did not take it: %w", err)
	}
	return nil
}

// numberOf returns a file's descriptor. File.Fd would have a socket block, and with
// it that of which the file is a duplicate: whoever waits there for a client
// could not be ended any more.
func numberOf(f *os.File) (number int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	return number, raw.Control(func(fd uintptr) { number = int(fd) })
}

// Given says that nothing is held any more, after Send.
func Given(conn *net.UnixConn) error {
	_ = conn.SetDeadline(time.Time{}) // the other one waits as long as it takes
	_, err := conn.Write([]byte{given})
	return err
}

// Receive takes everything over. Nobody else has it once its Accept returns nil.
func Receive(conn *net.UnixConn) (Parcel, error) {
	var length [8]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return Parcel{}, fmt.Errorf("take over: %w", err)
	}
	size := binary.BigEndian.Uint64(length[:])
	if size > longest {
		return Parcel{}, fmt.Errorf("take over: a description of %d bytes, want at most %d", size, longest)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(conn, data); err != nil {
		return Parcel{}, fmt.Errorf("take over: %w", err)
	}
	d, err := decode(data)
	if err != nil {
		return Parcel{}, err
	}
	if d.Descriptors < 0 || d.Descriptors > mostOfAll {
		return Parcel{}, fmt.Errorf("take over: %d descriptors, want at most %d", d.Descriptors, mostOfAll)
	}
	p := Parcel{Handover: d.Handover, Listeners: d.Listeners}
	count := d.Descriptors + len(d.Listeners)
	if d.Process {
		count++
	}
	p.Descriptors, err = receiveAll(conn, count)
	if err != nil {
		p.Listeners = nil
		p.Close()
		return Parcel{}, fmt.Errorf("take over descriptors: %w", err)
	}
	next := func(name string) *os.File {
		f := os.NewFile(uintptr(p.Descriptors[0]), name)
		p.Descriptors = p.Descriptors[1:]
		return f
	}
	if d.Process {
		p.process = next("process")
	}
	for n := range p.Listeners {
		p.Listeners[n].File = next(p.Listeners[n].Name)
	}
	return p, nil
}

// Accept says that everything was received and is in good hands, and returns nil
// once the other process holds nothing any more: it has said so, or it is dead.
// After an error it goes on as before. It waits as long as that takes: what the
// other process does that was stopped in between is seen only then, and whoever
// gave up before could leave what nobody else holds.
func (p *Parcel) Accept(conn *net.UnixConn) error {
	_, err := conn.Write([]byte{taken})
	if err == nil {
		_ = conn.SetDeadline(time.Time{}) // its errors are those of what follows
		err = awaitByte(conn, given)
	}
	if err == nil || p.isDead() {
		return nil
	}
	return fmt.Errorf("take over: the other process keeps it: %w", err)
}

func awaitByte(conn *net.UnixConn, want byte) error {
	var got [1]byte
	if _, err := io.ReadFull(conn, got[:]); err != nil {
		return err
	}
	if got[0] != want {
		return fmt.Errorf("it said %q, want %q", got[0], want)
	}
	return nil
}

func receiveAll(conn *net.UnixConn, count int) (all []int, err error) {
	for len(all) < count && err == nil {
		var some []int
		some, err = receiveSome(conn)
		all = append(all, some...)
	}
	if err == nil && len(all) > count {
		err = fmt.Errorf("%d came, want %d", len(all), count)
	}
	return all, err
}

func receiveSome(conn *net.UnixConn) (descriptors []int, err error) {
	var one [1]byte
	control := make([]byte, unix.CmsgSpace(4*mostDescriptors))
	n, size, flags, _, err := conn.ReadMsgUnix(one[:], control)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		some, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // something else
		}
		descriptors = append(descriptors, some...)
	}
	switch {
	case n == 0:
		err = io.ErrUnexpectedEOF
	case flags&unix.MSG_CTRUNC != 0:
		err = errors.New("not all of them came: is the limit of open files too low?")
	case len(descriptors) == 0:
		err = errors.New("none came")
	}
	return descriptors, err
}
