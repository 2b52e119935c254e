package handover

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/service/servicetest"
	"github.com/ssmd-project/ssmd/membership"
)

// sample hands over so many descriptors of a pipe.
func sample(t testing.TB, descriptors int) (h membership.Handover, read *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = read.Close(), write.Close() })
	h = membership.Handover{
		Memory: membership.Memory{Memberships: map[string]membership.Remembered{"a": {Selector: "x", Ended: "no"}}},
		Holdings: []membership.Holding{{Place: "here", Index: 7, Family: ifwatch.IPv4, Life: 9, Sockets: []membership.HeldSocket{{
			Cookie: 3, Channels: []membership.Channel{{Source: netip.MustParseAddr("10.1.0.1"), Group: netip.MustParseAddr("232.1.1.1")}},
		}}}},
	}
	for range descriptors {
		h.Descriptors = append(h.Descriptors, int(write.Fd()))
	}
	return h, read
}

func equal(t *testing.T, got, want membership.Handover) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(membership.Handover{}, "Descriptors")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		_ = unix.Close(fd)
	}
}

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for n, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		ends[n] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return ends[0], ends[1]
}

func TestOverTheWire(t *testing.T) {
	for _, count := range []int{0, 1, 253, 254, 600} {
		a, b := pair(t)
		h, _ := sample(t, count)
		sent := make(chan error, 1)
		listener, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		parcel := Parcel{h, []Listener{{"http", ":1", listener}, {"control", "x", listener}}, nil}
		go func() { sent <- Send(a, parcel) }()
		got, err := Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		equal(t, got.Handover, h)
		taken := got.Take("control")
		if len(taken) != 1 || taken[0].Address != "x" || len(got.Take("control")) != 0 || len(got.Listeners) != 1 || got.Listeners[0].Address != ":1" {
			t.Errorf("took %v, left %v", taken, got.Listeners)
		}
		if _, err := taken[0].File.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read the null device: %v", err)
		}
		_ = taken[0].File.Close()
		if len(got.Descriptors) != count {
			t.Errorf("%d descriptors, want %d", len(got.Descriptors), count)
		}
		select {
		case err := <-sent:
			t.Errorf("sent before it was accepted: %v", err)
		default:
		}
		accepted := make(chan error, 1)
		go func() { accepted <- got.Accept(b) }()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		select {
		case err := <-accepted:
			t.Errorf("accepted before it was given: %v", err)
		default:
		}
		if err := errors.Join(Given(a), <-accepted); err != nil {
			t.Error(err)
		}
		got.Close()
	}
}

// Whoever was to take it goes away, at whatever moment.
func TestNobodyTakesIt(t *testing.T) {
	for _, received := range []bool{false, true} {
		a, b := pair(t)
		h, _ := sample(t, 300)
		sent := make(chan error, 1)
		go func() { sent <- Send(a, Parcel{Handover: h}) }()
		if received {
			got, err := Receive(b)
			if err != nil {
				t.Fatal(err)
			}
			got.Close()
		}
		_ = b.Close()
		if <-sent == nil {
			t.Error("taken by nobody")
		}
	}
}

// Whoever has said that it takes everything waits until the other one has nothing,
// even if that one stands still for longer than anybody has patience.
func TestNobodyGivesUpHalfway(t *testing.T) {
	a, b := pair(t)
	h, _ := sample(t, 1)
	sent := make(chan error, 1)
	go func() { sent <- Send(a, Parcel{Handover: h}) }()
	got, err := Receive(b)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	over := time.Now().Add(20 * time.Millisecond)
	if err := b.SetDeadline(over); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { accepted <- got.Accept(b) }()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-accepted:
		t.Fatalf("gave up: %v", err)
	case <-time.After(2 * time.Until(over)):
	}
	if err := a.SetDeadline(over); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Given(a), <-accepted); err != nil {
		t.Error(err)
	}
}

// A listener that nobody took goes on as before, and can be closed.
func TestListenerIsNotTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	a, b := pair(t)
	go func() {
		if got, err := Receive(b); err == nil {
			got.Close()
		}
		_ = b.Close()
	}()
	if Send(a, Parcel{Listeners: []Listener{{"http", ":1", file}}}) == nil {
		t.Error("taken by nobody")
	}
	_ = file.Close()
	c, err := net.Dial("tcp", l.Addr().String()) // has it wait again
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
	go func() { _ = l.Close() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it waits for ever")
	}
}

// Whoever handed it over goes away before it has said that it holds nothing: it
// matters whether it lives.
func TestWhoHasIt(t *testing.T) {
	for _, lives := range []bool{true, false} {
		a, b := pair(t)
		pipe, err := os.Open("/dev/null") // stands for any
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), sendVariable+"=1")
		end, err := a.File()
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = []*os.File{end, pipe}
		stdin, err := cmd.StdinPipe() // until which it lives
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = end.Close(), a.Close()
		got, err := Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		if !lives {
			_, _ = cmd.Process.Kill(), cmd.Wait()
		}
		err = got.Accept(b)
		if lives && (err == nil || !strings.Contains(err.Error(), "keeps it")) {
			t.Errorf("of a process that lives: %v", err)
		}
		if !lives && err != nil {
			t.Errorf("of a process that is dead: %v", err)
		}
		got.Close()
		_, _ = stdin.Close(), cmd.Wait()
	}
}

const sendVariable = "SSMD_TEST_SEND"

// TestMain hands something over where it is told to, but never says that it has
// nothing any more.
func TestMain(m *testing.M) {
	if os.Getenv(sendVariable) != "" {
		c, err := net.FileConn(os.NewFile(3, "connection"))
		if err != nil {
			os.Exit(1)
		}
		_ = Send(c.(*net.UnixConn), Parcel{Handover: membership.Handover{Descriptors: []int{4}}})
		_ = os.NewFile(3, "connection").Close()
		_ = c.Close()
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestReceiveNonsense(t *testing.T) {
	size := func(n uint64, rest string) []byte { return append(binary.BigEndian.AppendUint64(nil, n), rest...) }
	for name, c := range map[string]struct {
		sent []byte
		want string
	}{
		"nothing":           {nil, "EOF"},
		"too long":          {size(1<<40, ""), "at most"},
		"cut off":           {size(100, "{"), "EOF"},
		"no JSON":           {size(3, "abc"), "invalid character"},
		"something else":    {size(2, "{}"), `of version 0, want "ssmd handover"`},
		"missing":           {size(58, `{"format":"ssmd handover","version":1,"descriptors":5}    `), "descriptors"},
		"far too many":      {size(64, `{"format":"ssmd handover","version":1,"descriptors":99999999}   `), "at most"},
		"fewer than none":   {size(60, `{"format":"ssmd handover","version":1,"descriptors":-2}     `), "at most"},
		"bytes without any": {size(58, `{"format":"ssmd handover","version":1,"descriptors":1}    x`), "none came"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			if _, err := a.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			_ = a.Close()
			if _, err := Receive(b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("said %v, want %q", err, c.want)
			}
		})
	}
}

func TestThroughTheServiceManager(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := servicetest.New(t.TempDir(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, e := range m.Command("true").Env {
		if name, value, _ := strings.Cut(e, "="); name == "NOTIFY_SOCKET" {
			t.Setenv(name, value)
		}
	}
	n, err := service.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	old, _ := sample(t, 1)
	old.Holdings = nil
	h, _ := sample(t, 400)
	if err := errors.Join(Store(ctx, n, old), Store(ctx, n, h)); err != nil { // the first start was killed
		t.Fatal(err)
	}
	cmd := m.Command("true")
	stored := map[string][]int{}
	for i, name := range m.Stored() {
		fd, err := unix.Dup(int(cmd.ExtraFiles[i].Fd()))
		if err != nil {
			t.Fatal(err)
		}
		stored[name] = append(stored[name], fd)
	}
	servicetest.Release(cmd)
	got, err := Restore(ctx, n, stored)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, *got, h)
	if len(got.Descriptors) != 401 {
		t.Errorf("%d descriptors", len(got.Descriptors))
	}
	closeAll(got.Descriptors)
	if left := m.Stored(); left != nil {
		t.Errorf("still stored: %v", left)
	}
	if got, err := Restore(ctx, n, nil); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// Descriptors without a word about them are closed.
func TestRestoreWithoutADocument(t *testing.T) {
	h, read := sample(t, 1)
	fd, err := unix.Dup(h.Descriptors[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(h.Descriptors[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := Restore(t.Context(), nil, map[string][]int{heldName: {fd}}); got != nil || err == nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := read.Read(make([]byte, 1)); err == nil {
		t.Error("not closed")
	}
}

// Whatever the document says, nothing is believed that no descriptor shows.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("{}"))
	full, _ := sample(f, 0)
	for _, h := range []membership.Handover{full, {Holdings: []membership.Holding{{Index: 1, Family: ifwatch.IPv6}}}} {
		data, err := encode(Parcel{Handover: h})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := pair(t)
		go func() {
			_, _ = a.Write(append(binary.BigEndian.AppendUint64(nil, uint64(len(data))), data...))
			_ = a.Close()
		}()
		got, err := Receive(b)
		if err == nil && len(got.Descriptors)+len(got.Listeners) != 0 {
			t.Error("descriptors out of nowhere")
		}
		membership.New(membership.Options{Handover: got.Handed()})
	})
}
