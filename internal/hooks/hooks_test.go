package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a dispatcher, what it logged, and a directory for what hooks write.
type stage struct {
	*Dispatcher
	t   *testing.T
	dir string
	mu  sync.Mutex
	log bytes.Buffer
}

func (s *stage) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(line)
}

func (s *stage) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	s.Dispatcher = New(slog.New(slog.NewTextHandler(s, nil)))
	t.Cleanup(s.End)
	return s
}

// script is a hook that a shell reads, which is what most hooks are.
func (s *stage) script(text string, on ...string) config.Hook {
	s.t.Helper()
	file := filepath.Join(s.dir, "hook"+strconv.Itoa(time.Now().Nanosecond()))
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return config.Hook{Command: []string{file, s.dir}, On: on, Timeout: 10 * time.Second}
}

func (s *stage) read(name string) string {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(text)
}

// until waits for something, for 20 s at most.
func (s *stage) until(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 20s: %s; %+v; the log:\n%s", what, s.Counts(), s.logged())
		}
	}
}

func (s *stage) wantCounts(want Counts) {
	s.t.Helper()
	s.until(fmt.Sprintf("%+v", want), func() bool { return s.Counts() == want })
}

func attached(n int) membership.Event {
	return membership.Event{Seq: uint64(n), Time: time.Unix(1, 500).UTC(), Type: membership.EventAttached, Membership: "feed", Interface: "eth0", Instance: 7, Cause: membership.CauseAppeared, Reason: "a; $(b)\n'c'"}
}

func state(is, was membership.State) membership.Event {
	return membership.Event{Type: membership.EventState, Membership: "feed", State: is, Was: was}
}

// ignored are the signals that this process was started to ignore, as nohup has it
// with SIGHUP: these are all that a hook is to ignore.
func ignored(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "SigIgn:") {
			return line
		}
	}
	t.Fatal("no SigIgn in /proc/self/status")
	return ""
}

// A hook gets what is documented and nothing else: no environment, no input, no
// descriptor of the daemon's.
func TestWhatAHookGets(t *testing.T) {
	t.Setenv("SECRET", "x")
	s := newStage(t)
	leak, err := os.Open("/") // without O_CLOEXEC only what is passed on purpose comes along
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	// Not ls into a pipe: that is the shell's own for a moment.
	h := s.script(`exec >"$1/out" 2>&1; env | grep -v '^\(PWD\|SHLVL\|_\|OLDPWD\)='; echo "args $#:$2"; pwd; readlink /proc/$$/fd/0; ls /proc/$$/fd >"$1/fds"; tr '\n' ' ' <"$1/fds"; grep SigIgn /proc/$$/status`, "attached")
	h.Command = append(h.Command, "$HOME; x")
	s.Set([]config.Hook{h})
	s.dispatch(attached(3))
	s.wantCounts(Counts{Good: 1})
	out := s.read("out")
	for _, want := range []string{
		"SSMD_EVENT=attached\n", "SSMD_TYPE=attached\n", "SSMD_SEQ=3\n", "SSMD_TIME=1970-01-01T00:00:01.0000005Z\n", "SSMD_MEMBERSHIP=feed\n", "SSMD_INTERFACE=eth0\n",
		"SSMD_INSTANCE=7\n", "SSMD_NETNS=\n", "SSMD_STATE=\n", "SSMD_CAUSE=appeared\n", "SSMD_REASON=a; $(b)\n'c'\n", searchPath + "\n", "args 2:$HOME; x\n", "\n/\n/dev/null\n", ignored(t),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "SECRET") {
		t.Errorf("the daemon's environment in\n%s", out)
	}
	_, fds, _ := strings.Cut(out, "/dev/null\n")
	fds, _, _ = strings.Cut(fds, "SigIgn")
	for _, fd := range strings.Fields(fds) {
		if fd != "0" && fd != "1" && fd != "2" && fd != "10" && fd != "11" { // the shell's own, of its script
			t.Errorf("descriptor %s in %s", fd, fds)
		}
	}
}

// A reason may be longer than the kernel takes of one variable, and is cut then.
func TestLongReason(t *testing.T) {
	s := newStage(t)
	s.Set([]config.Hook{s.script(`echo "$SSMD_REASON" >"$1/out"; echo "$SSMD_EVENT" >>"$1/out"`, "attached")})
	e := attached(1)
	e.Reason = "x" + strings.Repeat("ä", 200_000)
	s.dispatch(e)
	s.wantCounts(Counts{Good: 1})
	reason, event, _ := strings.Cut(s.read("out"), "\n")
	if kept, cut := strings.CutSuffix(reason, "..."); !cut || !strings.HasPrefix(e.Reason, kept) || !utf8.ValidString(kept) || len(kept) < 10_000 || event != "attached\n" {
		t.Errorf("%d bytes: %.20s, then %q", len(reason), reason, event)
	}
}

// Runs of one hook follow each other, in order; a state is told when it comes,
// not when only its reason changes.
func TestOrder(t *testing.T) {
	s := newStage(t)
	s.Set([]config.Hook{s.script(`echo "$SSMD_EVENT $SSMD_STATE" >>"$1/out"`, "attached", "detached", "held", "joined")})
	for _, e := range []membership.Event{
		attached(1), state(membership.StateJoined, ""), state(membership.StateJoined, membership.StateJoined), state(membership.StateHeld, membership.StateJoined),
		state(membership.StateHeld, membership.StateHeld), state(membership.StateJoined, membership.StateHeld), {Type: membership.EventDetached, Membership: "feed"},
		state(membership.StateDetached, membership.StateJoined), {Type: membership.EventReloaded}, state(membership.StateJoined, membership.StateDetached),
		{Type: membership.EventDetached, Membership: "feed"}, state(membership.StateJoined, ""), // it was removed, and is new
	} {
		s.dispatch(e)
	}
	s.wantCounts(Counts{Good: 8})
	if got, want := s.read("out"), "attached \njoined joined\nheld held\njoined joined\ndetached \njoined joined\ndetached \njoined joined\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFailures(t *testing.T) {
	s := newStage(t)
	bad := s.script("exit 0", "attached")
	if err := os.Chmod(bad.Command[0], 0o644); err != nil {
		t.Fatal(err)
	}
	missing := config.Hook{Command: []string{filepath.Join(s.dir, "missing")}, On: []string{"attached"}, Timeout: time.Second}
	s.Set([]config.Hook{s.script("echo trouble >&2; exit 3", "attached"), bad, missing})
	s.dispatch(attached(1))
	s.wantCounts(Counts{Failed: 3})
	for _, want := range []string{`msg="a hook says" .*output=trouble`, "error=\"exit status 3\"", "cannot be executed: permission denied, want for example: chmod 755", "missing: no such file or directory"} {
		first, second, _ := strings.Cut(want, ".*")
		if log := s.logged(); !strings.Contains(log, first) || !strings.Contains(log, second) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
}

// gone reports whether a process ended whose number a hook wrote to a file.
func (s *stage) gone(file string) bool {
	pid, err := strconv.Atoi(strings.TrimSpace(s.read(file)))
	if err != nil {
		return false
	}
	return syscall.Kill(pid, 0) == syscall.ESRCH || isZombie(pid)
}

// isZombie reports whether only whoever adopted a process has yet to reap it.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(after, "Z")
}

// One that hangs is killed with its children, and the next one runs.
func TestTimeout(t *testing.T) {
	s := newStage(t)
	h := s.script(`[ -e "$1/child" ] && exit 0; sleep 1000 & echo $! >"$1/child"; trap '' TERM; sleep 1000`, "attached")
	h.Timeout = 300 * time.Millisecond
	s.Set([]config.Hook{h})
	s.dispatch(attached(1))
	s.dispatch(attached(2))
	s.wantCounts(Counts{Good: 1, TimedOut: 1})
	s.until("the child ends", func() bool { return s.gone("child") })
}

// What it leaves in the background ends with it, and does not hold it up.
func TestBackground(t *testing.T) {
	s := newStage(t)
	s.Set([]config.Hook{s.script(`sleep 1000 & echo $! >"$1/child"`, "attached")})
	s.dispatch(attached(1))
	s.wantCounts(Counts{Good: 1})
	s.until("the child ends", func() bool { return s.gone("child") })
}

// A flood is read, and a bounded part of it logged.
func TestFlood(t *testing.T) {
	s := newStage(t)
	s.Set([]config.Hook{s.script(`head -c 100000 /dev/zero | tr '\0' x; echo; seq 100000; printf 'a\033[31m\377'`, "attached")})
	s.dispatch(attached(1))
	s.wantCounts(Counts{Good: 1})
	if n := strings.Count(s.logged(), "a hook says\""); n != mostLines {
		t.Errorf("%d lines, want %d", n, mostLines)
	}
	if log := s.logged(); !strings.Contains(log, "a hook says too much") || len(log) > 20_000 {
		t.Errorf("%d bytes: %.1000s", len(log), log)
	}
}

// A hook that hangs makes nobody wait, and gets the newest when it is done.
func TestSlowHookLosesTheOldest(t *testing.T) {
	s := newStage(t)
	slow := s.script(`[ -e "$1/go" ] || while ! [ -e "$1/go" ]; do sleep 0.01; done; echo $SSMD_SEQ >>"$1/out"`, "attached")
	quick := s.script(`echo $SSMD_EVENT >>"$1/quick"`, "detached")
	s.Set([]config.Hook{slow, quick})
	s.dispatch(attached(1))
	s.until("the first is taken", func() bool { return len(s.runners[0].queue) == 0 })
	const events = 20_000
	began := time.Now()
	for n := range events {
		s.dispatch(attached(n + 2))
	}
	took := time.Since(began)
	s.dispatch(membership.Event{Type: membership.EventDetached})
	s.until("the other hook runs", func() bool { return s.Counts().Good == 1 })
	s.wantCounts(Counts{Good: 1, Dropped: events - queueLength})
	t.Logf("%d events in %s", events, took)
	if took > 2*time.Second {
		t.Errorf("%d events took %s", events, took)
	}
	s.runners[0].abandon() // else all that wait would run
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.wantCounts(Counts{Good: 2, Dropped: events})
	if got := s.read("out"); got != "1\n" {
		t.Errorf("ran for %q, want the first", got)
	}
	if log := s.logged(); strings.Count(log, "too slow") != 1 {
		t.Errorf("want it told once:\n%.2000s", log)
	}
}

// The oldest is dropped, so that the last one is how things stand.
func TestQueueKeepsTheNewest(t *testing.T) {
	d := New(slog.New(slog.DiscardHandler))
	r := newRunner(d, config.Hook{Command: []string{"/x"}})
	defer r.cancel(nil)
	for n := range queueLength + 5 {
		r.add(job{event: attached(n)})
	}
	if j := <-r.queue; j.event.Seq != 5 || d.Counts().Dropped != 5 {
		t.Errorf("the oldest is %d, %d dropped, want 5 and 5", j.event.Seq, d.Counts().Dropped)
	}
}

// A hook that stays is not touched when others change.
func TestSet(t *testing.T) {
	s := newStage(t)
	stays, goes := s.script(`while ! [ -e "$1/go" ]; do sleep 0.01; done; echo $SSMD_SEQ >>"$1/out"`, "attached"), s.script("", "attached")
	comes := s.script(`echo new$SSMD_SEQ >>"$1/new"`, "attached") // written before anything runs, which would inherit the open file: ETXTBSY
	s.Set([]config.Hook{goes, stays})
	s.dispatch(attached(1))
	s.dispatch(attached(2))
	s.Set([]config.Hook{stays, comes})
	s.dispatch(attached(3))
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.until("all three", func() bool { return s.read("out") == "1\n2\n3\n" && s.read("new") == "new3\n" })
}

// At the end what waits is served, for as long as a timeout.
func TestEnd(t *testing.T) {
	s := newStage(t)
	hangs := s.script(`echo $$ >"$1/pid"; sleep 1000`, "attached")
	hangs.Timeout = 500 * time.Millisecond
	s.Set([]config.Hook{s.script(`echo $SSMD_SEQ >>"$1/out"`, "attached"), hangs})
	for n := range 3 {
		s.dispatch(attached(n))
	}
	s.End()
	s.dispatch(attached(9)) // nobody is there any more, and nobody waits
	if got := s.read("out"); got != "0\n1\n2\n" || !s.gone("pid") {
		t.Errorf("ran for %q", got)
	}
	if c := s.Counts(); c.Good != 3 || c.TimedOut == 0 || c.TimedOut+c.Dropped != 3 {
		t.Errorf("%+v", c)
	}
	s.Set([]config.Hook{hangs})
	s.End()
}

// events are a source.
type events []membership.Event

func (e *events) Next(context.Context) (membership.Event, error) {
	if len(*e) == 0 {
		return membership.Event{}, io.EOF
	}
	first := (*e)[0]
	*e = (*e)[1:]
	return first, nil
}

func TestRun(t *testing.T) {
	s := newStage(t)
	s.Set([]config.Hook{s.script(`echo $SSMD_SEQ >>"$1/out"`, "attached")})
	s.Run(t.Context(), &events{attached(1), {Type: membership.EventMissed, Missed: 7}, attached(9)})
	s.wantCounts(Counts{Good: 2, Dropped: 7})
	if got := s.read("out"); got != "1\n9\n" {
		t.Errorf("ran for %q", got)
	}
}

func TestCheck(t *testing.T) {
	s := newStage(t)
	file := s.script("", "attached").Command[0]
	link := filepath.Join(s.dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	us := os.Geteuid()
	mode := func(path string, bits os.FileMode) {
		if err := os.Chmod(path, bits); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{file, link, "/bin/sh"} {
		if err := check(path, us); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for name, change := range map[string]func(){
		"has the mode 0775: somebody else": func() { mode(file, 0o775) },
		"has the mode 0757: somebody else": func() { mode(file, 0o757) },
		s.dir + " has the mode 0777: ":     func() { mode(s.dir, 0o777) },
		"is no regular file":               func() { mode(file, 0o755); file = s.dir },
	} {
		was := file
		change()
		if err := check(file, us); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
		file = was
		mode(file, 0o755)
		mode(s.dir, 0o755)
	}
	if us != 0 {
		return
	}
	if err := os.Chown(file, 4001, 0); err != nil {
		t.Skip(err)
	}
	if err := check(file, 0); err == nil || !strings.Contains(err.Error(), "belongs to user 4001") {
		t.Errorf("%v, want it refused", err)
	}
}

// Whoever owns a link on the way may have it lead elsewhere, also in a directory
// like /tmp, and where it is one behind another.
func TestCheckOfLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes a second user")
	}
	dir := t.TempDir()
	link := func(to, from string) string {
		from = filepath.Join(dir, from)
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
		return from
	}
	for _, d := range []string{"sticky", "theirs", "ours"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	theirs := link("/bin", "sticky/theirs")
	link("/bin/sh", "theirs/sh")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "sticky"), 0o777|os.ModeSticky), os.Lchown(theirs, 4001, 0), os.Chown(filepath.Join(dir, "theirs"), 4001, 0)); err != nil {
		t.Skip(err)
	}
	for path, want := range map[string]string{
		link("/bin/sh", "sticky/ours"):              "",
		link("../ours/../sticky/ours", "ours/back"): "",
		theirs + "/sh":                          theirs + " belongs to user 4001",
		link("../sticky/theirs/sh", "ours/far"): theirs + " belongs to user 4001",
		link("../theirs/sh", "ours/through"):    filepath.Join(dir, "theirs") + " belongs to user 4001",
		link("round", "ours/round"):             "too many",
	} {
		if err := check(path, 0); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
