package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// house is a lab with a daemon to which applications hand their sockets over.
type house struct {
	*lab
	program, dir string
	capture      *wire.Capture
	daemon       *daemon
}

func newHouse(t *testing.T, f family, program string) *house {
	t.Helper()
	h := &house{lab: newLab(t, f), program: program, dir: openDir(t)}
	h.capture = newCapture(t, h.Far)
	h.write("memberships: []\n")
	h.start()
	return h
}

func (h *house) write(config string) { write(h.t, filepath.Join(h.dir, "ssmd.yaml"), config) }

func (h *house) path() string { return filepath.Join(h.dir, "handoff.sock") }

// command is what runs a daemon, the next one in the place of any other.
func (h *house) command(more ...string) *exec.Cmd {
	return exec.Command(h.program, append(append(runArgs(h.dir), "--handoff-socket", h.path()), more...)...)
}

func (h *house) start(more ...string) {
	h.t.Helper()
	h.daemon = startAs(h.lab, h.dir, h.command(more...), nil)
	eventually(h.t, func() error {
		_, err := h.daemon.client.Daemon(h.ctx)
		return err
	})
}

// end ends the daemon.
func (h *house) end(s unix.Signal) {
	h.t.Helper()
	h.daemon.signal(s)
	if code := h.daemon.ended(); code != 0 && s == unix.SIGTERM {
		h.t.Errorf("exit code %d", code)
	}
	const want = "every group is left, but on sockets that were handed over"
	if s == unix.SIGTERM && !strings.Contains(h.daemon.stderr.String(), want) {
		h.t.Errorf("want %q in the log:\n%s", want, h.daemon.stderr)
	}
}

func (h *house) entry() handoff.Entry {
	return handoff.Entry{Name: "feed", Channels: []membership.Channel{channelOf(h.channel)}, Interface: "eth0"}
}

// receiver hears nothing but what is joined on its own socket.
func (h *house) receiver() *testnet.Receiver {
	h.t.Helper()
	return newReceiver(h.t, h.Near, testnet.ReceiverConfig{Listen: h.listen(), OwnOnly: true})
}

// handOver hands a receiver's socket over, and has everything that it is told
// noted.
func (h *house) handOver(r *testnet.Receiver) (*handoff.Handoff, *diary) {
	h.t.Helper()
	one, err := handoff.HandOver(h.ctx, r.Conn(), h.entry(), handoff.Options{Socket: h.path()})
	ok(h.t, err)
	h.t.Cleanup(func() { _ = one.Close() })
	d := &diary{t: h.t, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		for {
			e, err := one.Next(context.Background())
			if d.add(e, err) {
				return
			}
		}
	}()
	return one, d
}

// reattached waits for the feed to be joined in the place of so many.
func (h *house) reattached(times uint64) {
	h.t.Helper()
	h.daemon.await(inPlaceOf(times))
}

// diary is what an application was told.
type diary struct {
	t      testing.TB
	ended  chan struct{}
	mu     sync.Mutex
	events []membership.Event
	err    error // the last word
}

func (d *diary) add(e membership.Event, err error) (over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.err = err
		return true
	}
	d.events = append(d.events, e)
	return false
}

// types returns the types of the events of some types, in order.
func (d *diary) types(of ...membership.EventType) (types []membership.EventType) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if slices.Contains(of, e.Type) {
			types = append(types, e.Type)
		}
	}
	return types
}

// wait waits until exactly these were told, of all of their types.
func (d *diary) wait(want ...membership.EventType) {
	d.t.Helper()
	eventually(d.t, func() error {
		if got := d.types(want...); !slices.Equal(got, want) {
			return fmt.Errorf("was told %v, want %v", got, want)
		}
		return nil
	})
}

// over waits for the last word.
func (d *diary) over(want error, words string) {
	d.t.Helper()
	eventually(d.t, func() error {
		select {
		case <-d.ended:
			return nil
		default:
			return errors.New("the hand-over is not over")
		}
	})
	if !errors.Is(d.err, want) || !strings.Contains(d.err.Error(), words) {
		d.t.Errorf("it ended with %v, want %v and %q", d.err, want, words)
	}
}

// app is a program that hands its socket over, and the lines that it prints.
type app struct {
	h     *house
	cmd   *exec.Cmd
	lines chan string
}

// run runs a program of the near side that is told where the daemon is, and what
// to hear.
func (h *house) run(words ...string) *app {
	h.t.Helper()
	entry := fmt.Sprintf(`{"name": "feed", "channels": "%s", "interface": "eth0"}`, h.channel)
	words = append(words, h.path(), h.channel.group.String(), fmt.Sprint(port), entry)
	a := &app{h, exec.Command(words[0], words[1:]...), make(chan string, 10_000)}
	out, err := a.cmd.StdoutPipe()
	ok(h.t, err)
	var complaints strings.Builder
	a.cmd.Stderr = &complaints
	ok(h.t, h.Near.Start(a.cmd))
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(a.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			a.lines <- lines.Text()
		}
	}()
	h.t.Cleanup(func() {
		a.kill()
		<-read
		_ = a.cmd.Wait()
		if complaints.Len() > 0 {
			h.t.Errorf("%s complained:\n%s", words[0], &complaints)
		}
	})
	return a
}

func (a *app) kill() { _ = a.cmd.Process.Kill() }

// says waits for a line that begins so.
func (a *app) says(want string) {
	a.h.t.Helper()
	for {
		select {
		case line, open := <-a.lines:
			if !open || strings.HasPrefix(line, "failed") {
				a.h.t.Fatalf("said %q, want %q", line, want)
			}
			if strings.HasPrefix(line, want) {
				return
			}
		case <-a.h.ctx.Done():
			a.h.t.Fatalf("never said %q", want)
		}
	}
}

// hears waits until it hears what was sent after the call.
func (a *app) hears() {
	a.h.t.Helper()
	for len(a.lines) > 0 { // what it heard so far
		<-a.lines
	}
	for range 3 {
		a.says("heard")
	}
}

// isFree waits until the port of the family's group can be bound by somebody
// who shares it with nobody.
func (h *house) isFree() {
	h.t.Helper()
	eventually(h.t, func() error {
		return h.Near.Do(func() error {
			c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
			if err == nil {
				_ = c.Close()
			}
			return err
		})
	})
}

// gone waits until the daemon has no membership any more.
func (h *house) gone() {
	h.t.Helper()
	eventually(h.t, func() error {
		_, err := h.daemon.client.Membership(h.ctx, "feed")
		if errors.Is(err, membership.ErrNotFound) {
			return nil
		}
		return fmt.Errorf("the membership is there: %w", errors.Join(err, io.ErrNoProgress))
	})
}

// leave removes the feed over the control socket.
func (h *house) leave() {
	h.t.Helper()
	_, err := control.NewClient(filepath.Join(h.dir, "control.sock")).Delete(h.ctx, "feed")
	ok(h.t, err)
}

// openFiles is how many the daemon has open.
func (h *house) openFiles() int {
	h.t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.daemon.cmd.Process.Pid))
	ok(h.t, err)
	return len(all)
}

// wantFiles checks that the daemon has no more files open than so many.
func (h *house) wantFiles(most int) error {
	if now := h.openFiles(); now > most {
		return fmt.Errorf("the daemon has %d files open, want %d", now, most)
	}
	return nil
}
