package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// receiver is somebody else's program, which knows nothing of ssmd, and how it is
// told to join the family's channel on eth0.
type receiver struct {
	program  string
	families []family
	args     func(f family, dump string) []string
	prints   int // bytes that it does not keep to itself of what it receives; 0: it tells of nothing
	asNobody bool
}

// receivers are of Debian's packages socat, ssmping, iperf, ffmpeg and vlc-bin.
var receivers = []receiver{
	{program: "socat", families: []family{v4}, prints: 3 * 16, args: func(f family, _ string) []string {
		// struct ip_mreq_source of 10.1.0.1@232.1.1.1 on 10.1.0.2.
		const join = "setsockopt-listen=0:39:xe80101010a0100020a010001"
		return []string{"-u", "UDP4-RECV:5000,reuseaddr," + join, "-"}
	}},
	{program: "mcfirst", families: []family{v4, v6}, args: func(f family, _ string) []string {
		return []string{map[string]string{"v4": "-4", "v6": "-6"}[f.name], "-I", "eth0", "-c", "1000000", f.channel.source.String(), f.channel.group.String(), "5000"}
	}},
	{program: "iperf", families: []family{v4, v6}, args: func(f family, _ string) []string {
		args := []string{"-s", "-u", "-B", f.channel.group.String() + "%eth0", "-H", f.channel.source.String(), "-p", "5000"}
		if f.name == "v6" {
			args = append(args, "-V")
		}
		return args
	}},
	{program: "ffmpeg", families: []family{v4, v6}, prints: 3 * 16, args: func(f family, _ string) []string {
		url := fmt.Sprintf("udp://@%s?sources=%s&reuse=1&buffer_size=65536", f.listen(), f.channel.source)
		if f.name == "v4" {
			url += "&localaddr=10.1.0.2"
		}
		return []string{"-nostdin", "-loglevel", "error", "-probesize", "32", "-f", "data", "-i", url, "-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "data", "-"}
	}},
	{program: "cvlc", families: []family{v4}, prints: 8 << 10, asNobody: true, args: func(f family, dump string) []string {
		return []string{fmt.Sprintf("udp://%s@%s", f.channel.source, f.listen()), "--miface=eth0", "--demux=dump", "--demuxdump-file=" + dump}
	}},
}

// TestStoryAdopted has the daemon adopt programs that nobody here wrote, as they
// are, and takes their interface away ten times.
func TestStoryAdopted(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	for _, r := range receivers {
		t.Run(r.program, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(r.program); err != nil {
				t.Skipf("no %s here: %v", r.program, err)
			}
			for _, f := range r.families {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					storyAdopted(t, program, r, f)
				})
			}
		})
	}
}

func storyAdopted(t *testing.T, program string, r receiver, f family) {
	l := newLab(t, f)
	dir := openDir(t)
	ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte("memberships: []\n"), 0o644))
	d := startDaemon(l, program, dir, nil)
	if r.asNobody { // VLC writes much at once
		fast := testnet.NewSender(l.Far, testnet.SenderConfig{To: []netip.AddrPort{f.listen()}, Every: 200 * time.Microsecond})
		background(t, fast.Run)
	}
	l.hears(l.listener(f.marker)) // FFmpeg goes by routes, which IPv6 has only then (K28, K32)
	p := startReceiver(l, r)
	p.awaitState(adopt.StateJoined)
	p.hears()
	one := d.adopt(control.AdoptionRequest{Selection: control.Selection{PID: p.pid()}})
	if len(one.Memberships) != 1 {
		t.Fatalf("adopted %+v, want one membership", one)
	}
	name := one.Memberships[0]
	heard := newCapture(t, l.Far)
	for n := range 10 {
		before := heard.Count(l.isReport(wire.AllowNewSources))
		ok(t, l.Recreate("eth0", testnet.Veth{Index: l.index() * (n % 2)}))
		d.awaitMembership(name, inPlaceOf(uint64(n+1)))
		p.awaitState(adopt.StateJoined)
		p.hears()
		l.reported(heard, wire.AllowNewSources, before+1)
		l.wantUsers(1)
	}
	d.signal(syscall.SIGKILL) // the worst moment is as good as any: nothing of the program is held
	<-d.done
	p.hears()
	l.wantUsers(1)
}

// TestStoryNotAdopted shows that the programs are deaf without it.
func TestStoryNotAdopted(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	if _, err := exec.LookPath("iperf"); err != nil {
		t.Skipf("no iperf here: %v", err)
	}
	p := startReceiver(l, receivers[2])
	p.awaitState(adopt.StateJoined)
	ok(t, l.Recreate("eth0", testnet.Veth{}))
	p.awaitState(adopt.StateDeaf)
	l.wantUsers(0)
}

// adoptee is a receiver that runs in a lab's near side.
type adoptee struct {
	*lab
	receiver
	cmd  *exec.Cmd
	out  *growing
	dump string
}

// growing counts what a program prints, and keeps the beginning.
type growing struct {
	mu    sync.Mutex
	bytes int
	first bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes += len(p)
	if g.first.Len() < 4096 {
		g.first.Write(p)
	}
	return len(p), nil
}

func startReceiver(l *lab, r receiver) *adoptee {
	l.t.Helper()
	dir := openDir(l.t)
	p := &adoptee{lab: l, receiver: r, out: &growing{}, dump: filepath.Join(dir, "dump")}
	p.cmd = exec.Command(r.program, r.args(l.family, p.dump)...)
	p.cmd.Stdout = p.out
	var said growing
	p.cmd.Stderr = &said
	if r.asNobody && os.Getuid() == 0 {
		const nobody = 65534
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		p.cmd.Env = append(os.Environ(), "HOME="+dir)
		ok(l.t, os.Chmod(dir, 0o777))
	}
	ok(l.t, l.Near.Start(p.cmd))
	l.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if l.t.Failed() {
			l.t.Logf("%s said:\n%s%s", r.program, p.out.first.String(), said.first.String())
		}
	})
	return p
}

func (p *adoptee) pid() int { return p.cmd.Process.Pid }

// awaitState waits until the program has the family's channel, and nothing else,
// on one interface, in a state.
func (p *adoptee) awaitState(want adopt.State) {
	p.t.Helper()
	ok(p.t, testnet.Eventually(p.ctx, func() error {
		rows, err := adopt.List(adopt.Selection{PID: p.pid()})
		if err != nil {
			return err
		}
		if len(rows) != 1 || rows[0].State != want || rows[0].Group != p.channel.group || !slices.Equal(rows[0].Sources, []netip.Addr{p.channel.source}) {
			return fmt.Errorf("it has %+v, want %s %s", rows, p.channel, want)
		}
		return nil
	}))
}

// received is how much the program has told of.
func (p *adoptee) received() int {
	if info, err := os.Stat(p.dump); err == nil {
		return int(info.Size())
	}
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.bytes
}

// hears waits until the program tells of more, where it does.
func (p *adoptee) hears() {
	p.t.Helper()
	before := p.received()
	ok(p.t, testnet.Eventually(p.ctx, func() error {
		if now := p.received(); now < before+p.prints {
			return fmt.Errorf("the program tells of %d bytes more, want %d", now-before, p.prints)
		}
		return nil
	}))
}

func (d *daemon) adopt(r control.AdoptionRequest) (one control.Adoption) {
	d.t.Helper()
	ok(d.t, testnet.Eventually(d.ctx, func() (err error) { // its socket is there
		one, err = d.client.Adopt(d.ctx, r)
		if _, refused := errors.AsType[*control.Problem](err); refused {
			d.t.Fatal(err)
		}
		return err
	}))
	return one
}

func (d *daemon) awaitMembership(name string, check func(membership.Status) error) {
	d.t.Helper()
	awaitStatus(d.t, d.ctx, check, func() (membership.Status, error) { return d.membership(name) })
}
