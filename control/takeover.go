package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// takeoverProtocol is what a connection is upgraded to (RFC 9110, section 7.8)
// for a successor.
const takeoverProtocol = "ssmd-handover/1"

// begin is what a successor sends once it has read the answer: whatever reads
// the answer must not read what follows, with which descriptors come.
const begin = 'b'

var errNoYield = blank(http.StatusNotImplemented, "this server hands nothing over")

// takeover hands the connection, and over it what the daemon holds, to a
// successor. That takes the sockets away: members of control.group may not.
func (s *Server) takeover(w http.ResponseWriter, r request) {
	p := peerIn(r.http.Context())
	switch {
	case s.options.Yield == nil:
		writeProblem(w, errNoYield)
	case !p.privileged():
		writeProblem(w, forbidden(fmt.Sprintf("%s may not take over: want root, or the daemon's own user %d", p, os.Geteuid())))
	case !strings.EqualFold(r.http.Header.Get("Upgrade"), takeoverProtocol):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", takeoverProtocol)
		writeProblem(w, blank(http.StatusUpgradeRequired, "want Upgrade: "+takeoverProtocol+", as ssmd run --takeover sends it"))
	default:
		s.yield(w, r.http.Context())
	}
}

func (s *Server) yield(w http.ResponseWriter, ctx context.Context) {
	s.yielding.Add(1)
	defer s.yielding.Done()
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	successor, ok := socketOf(c)
	if !ok {
		_ = c.Close() // a test's listener
		return
	}
	if g, ok := c.(*guest); ok {
		defer g.leave()
	}
	_ = c.SetDeadline(time.Now().Add(s.limits.answer)) // its errors are those of what follows
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + takeoverProtocol + "\r\n\r\n"
	if _, err := io.WriteString(c, switching); err != nil {
		_ = c.Close()
		return
	}
	if b, err := buffered.ReadByte(); err != nil || b != begin {
		s.options.Logger.Warn("a successor went away before anything was handed over", "error", err)
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	s.yields.Add(1)
	defer s.yields.Add(-1)
	s.gate.pause()
	s.finishAnswers()
	if !s.options.Yield(context.WithoutCancel(ctx), successor) {
		s.gate.resume()
	}
}

// finishAnswers waits until nobody is answered any more but successors and readers
// of events, but no longer than a request may take to arrive and the time of grace:
// whoever asked the daemon has the answer from it, and whoever comes later from
// the next.
func (s *Server) finishAnswers() {
	const pace = time.Millisecond
	for until := time.Now().Add(s.limits.read + s.limits.grace); time.Now().Before(until); time.Sleep(pace) {
		if s.gate.paused() && int64(s.connections.taken()-s.streams.taken()) <= s.yields.Load() {
			return
		}
	}
}

// socketOf finds the socket in a connection of ours.
func socketOf(c net.Conn) (*net.UnixConn, bool) {
	if g, ok := c.(*guest); ok {
		c = g.Conn
	}
	if r, ok := c.(*refilling); ok {
		c = r.UnixConn
	}
	socket, ok := c.(*net.UnixConn)
	return socket, ok
}

// TakeOver asks the daemon for what it holds, and returns the connection over
// which it comes. The daemon goes on as before where nobody takes it there.
func (c *Client) TakeOver(ctx context.Context) (*net.UnixConn, error) {
	connection, err := dialSocket(ctx, c.socket)
	if err != nil {
		return nil, &DialError{Socket: c.socket, Err: err}
	}
	socket := connection.(*net.UnixConn) // what dialSocket dials
	if err := c.upgrade(ctx, socket); err != nil {
		_ = socket.Close()
		return nil, err
	}
	return socket, nil
}

func (c *Client) upgrade(ctx context.Context, socket *net.UnixConn) error {
	if err := socket.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ssmd/v1/takeover", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", takeoverProtocol)
	if err := request.Write(socket); err != nil {
		return c.unreachable(ctx, err)
	}
	response, err := http.ReadResponse(bufio.NewReader(socket), request)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return c.refused(response)
	}
	if _, err := socket.Write([]byte{begin}); err != nil {
		return c.unreachable(ctx, err)
	}
	return socket.SetDeadline(time.Time{})
}
