package adopt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// recovers has the interface come back, and wants that the puppet's socket hears.
func (s *stage) recovers(fd int) {
	s.t.Helper()
	s.awaitJoined(fd, 0)
	for n := range 3 {
		ok(s.t, s.Recreate("eth0", testnet.Veth{Index: s.index() * (n % 2)}))
		s.awaitJoined(fd, uint64(n+1))
	}
	s.hears(fd)
}

// A process that opens, joins, moves, leaves and closes sockets without a pause,
// another group's, costs others nothing: its own steady socket hears, and another
// process's. It ends with it.
func TestAdoptedChurns(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		steady := &stage{lab: &lab{s.Network, newPuppet(t, s.Near, nil), f, t, s.ctx}, manager: s.manager, adopter: s.adopter}
		other := steady.joined()
		steady.adopt()
		s.do(order{Do: "churn", Group: f.other, Source: f.source, Port: port, Index: s.index()})
		s.recovers(fd)
		steady.awaitJoined(other, 3)
		steady.hears(other)
		s.end()
		s.awaitGone(fd)
		ok(t, testnet.Eventually(s.ctx, func() error {
			if all := s.adopter.Adoptions(); len(all) != 1 || len(all[0].Memberships) != 1 {
				return fmt.Errorf("there is %+v", all)
			}
			return nil
		}))
		if got := steady.users(); got != 1 {
			t.Errorf("%d users", got)
		}
	})
}

// A process that is killed while its sockets are fetched and joined leaves nothing
// behind, whenever it is.
func TestAdoptedIsKilledAnytime(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		for n := range 10 {
			fds := []int{s.joined(), s.joined(), s.joined()}
			s.adopt()
			for _, fd := range fds {
				s.awaitJoined(fd, 0)
			}
			killed := make(chan error)
			time.AfterFunc(time.Duration(rand.N(4000))*time.Microsecond, func() { killed <- s.cmd.Process.Kill() })
			s.recreate(testnet.Veth{Index: s.index() * (n % 2)})
			ok(t, <-killed)
			s.end()
			for _, fd := range fds {
				s.awaitGone(fd)
			}
			s.awaitUsers(0)
			s.puppet = newPuppet(t, s.Near, nil)
		}
		ok(t, testnet.Eventually(s.ctx, func() error {
			if all := s.adopter.Adoptions(); len(all) > 0 {
				return fmt.Errorf("there is %+v", all)
			}
			return nil
		}))
	})
}

// A process that is stopped, and one that another process traces, is kept: nothing
// asks it to run.
func TestAdoptedCannotRun(t *testing.T) {
	for name, halt := range map[string]func(*testing.T, *stage) (resume func()){
		"stopped": func(t *testing.T, s *stage) func() {
			ok(t, unix.Kill(s.pid, unix.SIGSTOP))
			return func() { ok(t, unix.Kill(s.pid, unix.SIGCONT)) }
		},
		"traced": func(t *testing.T, s *stage) func() {
			resume, done := make(chan struct{}), make(chan error)
			go func() { // all by one thread
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				err := unix.PtraceAttach(s.pid)
				if err == nil {
					_, err = unix.Wait4(s.pid, nil, 0, nil) // it has stopped
				}
				done <- err
				<-resume
				done <- unix.PtraceDetach(s.pid)
			}()
			ok(t, <-done)
			return func() {
				close(resume)
				ok(t, <-done)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, f family) {
				s := newStage(t, f)
				fd := s.joined()
				s.adopt()
				s.awaitJoined(fd, 0)
				resume := halt(t, s)
				for n := range 3 {
					ok(t, s.Recreate("eth0", testnet.Veth{Index: s.index() * (n % 2)}))
					s.awaitJoined(fd, uint64(n+1))
				}
				resume()
				s.hears(fd)
			})
		})
	}
}

// A process that nobody has waited for has no sockets any more, and is none.
func TestAdoptedIsZombie(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	ok(t, s.cmd.Process.Kill()) // and Wait only in the end
	s.awaitGone(fd)
	s.awaitUsers(0)
	if rows, err := List(Selection{PID: s.pid}); err == nil {
		t.Errorf("listed %+v", rows)
	}
}

// A process with another root, and in other namespaces of processes and users, is
// kept as any.
func TestAdoptedConfined(t *testing.T) {
	for name, how := range map[string]*syscall.SysProcAttr{
		"chroot":    {},
		"processes": {Cloneflags: syscall.CLONE_NEWPID},
		"users": {
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, f family) {
				s := newStage(t, f)
				s.end()
				s.puppet = startPuppet(t, s.Near, how)
				if name == "chroot" {
					s.do(order{Do: "chroot", Name: t.TempDir()})
				}
				fd := s.joined()
				s.adopt()
				s.recovers(fd)
			})
		})
	}
}

// A socket that only a thread with a table of its own has is not seen, and harms
// nobody: the process's own is kept.
func TestAdoptedThreadHasOwnTable(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.do(order{Do: "openAside", Group: v4.other, Source: v4.source, Port: port, Index: s.index()})
	s.adopt()
	s.recovers(fd)
	if rows := s.rows(); len(rows) != 1 {
		t.Errorf("the process has %+v", rows)
	}
}

// Another process that comes to have the number of one that was adopted is never
// taken for it, neither by the daemon that runs nor by the next.
func TestAdoptedNumberComesBack(t *testing.T) {
	t.Parallel()
	const lastPID = "/proc/sys/kernel/ns_last_pid"
	if err := os.WriteFile(lastPID, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		t.Skipf("which number comes next takes CAP_CHECKPOINT_RESTORE to say: %v", err)
	}
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	kept := s.adopter.Kept()
	was := s.pid
	s.end()
	ok(t, testnet.Eventually(s.ctx, func() error { // others take numbers too
		if err := os.WriteFile(lastPID, []byte(strconv.Itoa(was-1)), 0); err != nil {
			return err
		}
		if s.puppet = newPuppet(t, s.Near, nil); s.pid != was {
			s.end()
			return fmt.Errorf("it is process %d, want %d", s.pid, was)
		}
		if l := lifeOf(t, s.pid); l.PidFS == 0 && l.same(kept[0].Life) {
			s.end()
			return errors.New("it is of the same tick, and this kernel has no other mark")
		}
		return nil
	}))
	again := s.joined()
	for what, s := range map[string]*stage{"the daemon": s, "the next daemon": onStage(s.lab, kept)} {
		ok(t, testnet.Eventually(s.ctx, func() error {
			if all := s.adopter.Adoptions(); len(all) > 0 {
				return fmt.Errorf("%s has adopted %+v", what, all)
			}
			return nil
		}))
		s.awaitGone(again)
	}
	ok(t, s.Recreate("eth0", testnet.Veth{}))
	if rows := s.rows(); len(rows) != 1 || rows[0].State != StateDeaf {
		t.Errorf("the other process has %+v, want what it has left", rows)
	}
}

func lifeOf(t *testing.T, pid int) Life {
	t.Helper()
	p, err := openProcess(pid)
	ok(t, err)
	defer p.Close()
	l, err := p.life()
	ok(t, err)
	return l
}

// The port of a process that is adopted is free when it has ended. A descriptor is
// held for the moment of a look at it, and not beyond.
func TestAdoptedEndsAndItsPortIsFree(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	const times = 20
	late := 0
	for range times {
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.end()
		if err := s.bindAlone(); err != nil {
			late++
			ok(t, testnet.Eventually(s.ctx, s.bindAlone))
		}
		s.puppet = newPuppet(t, s.Near, nil)
	}
	if late > times/10 {
		t.Errorf("%d of %d ports were not free at once", late, times)
	}
}

// bindAlone binds to the port that the family's sockets share, without sharing it.
func (s *stage) bindAlone() error {
	var fd int
	err := s.Near.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Port: port})
}

// At rest nothing of a process is held but its pidfd.
func TestAdoptedIsNotHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	socket, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", s.pid, fd))
	ok(t, err)
	held, samples := 0, 0
	for began := time.Now(); time.Since(began) < 2*leastPause; samples++ {
		if holds(t, socket) {
			held++
		}
		runtime.Gosched()
	}
	if samples < 20 || held > samples/10 {
		t.Errorf("held at %d of %d times", held, samples)
	}
}

// holds reports whether this process has a socket.
func holds(t *testing.T, socket string) bool {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	for _, entry := range all {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && target == socket {
			return true
		}
	}
	return false
}
