package statuspage

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// stream tells a reader what is and then what changes, as server-sent events. A
// reader that had an earlier stream of the same run goes on from there.
func (b *Board) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case <-b.ended:
		http.Error(w, "the daemon is ending", http.StatusServiceUnavailable)
		return
	default:
	}
	select {
	case b.streams <- struct{}{}:
		defer func() { <-b.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d browsers are told already: close one", b.limits.streams), http.StatusServiceUnavailable)
		return
	}
	last := r.Header.Get("Last-Event-ID")
	if from := r.URL.Query().Get("from"); last == "" {
		last = from
	}
	out := &teller{board: b, w: w, connection: http.NewResponseController(w), first: true}
	out.epoch, out.version = parseID(last)
	if out.connection.SetReadDeadline(time.Time{}) != nil { // it never sends anything more
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if out.connection.Flush() != nil || r.Method == http.MethodHead {
		return
	}
	reader := b.open()
	defer b.close(reader)
	beat := time.NewTicker(b.limits.heartbeat)
	defer beat.Stop()
	for {
		if err := out.tell(); err != nil {
			return
		}
		select {
		case <-b.ended:
			return
		case <-r.Context().Done():
			return
		case <-reader.wake:
			continue
		case <-beat.C:
		}
		if err := out.write("", "{"+out.now()+"}"); err != nil {
			return
		}
	}
}

// parseID reads the number of a message.
func parseID(id string) (epoch string, version uint64) {
	epoch, number, _ := strings.Cut(id, "-")
	version, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return "", 0
	}
	return epoch, version
}

// teller writes messages to one reader.
type teller struct {
	board      *Board
	w          http.ResponseWriter
	connection *http.ResponseController
	first      bool
	epoch      string
	version    uint64
}

// tell writes all that changed since it was called last.
func (t *teller) tell() error {
	for more := true; more; {
		var id, message string
		if id, message, more = t.next(); message == "" {
			break
		}
		if err := t.write(id, message); err != nil {
			return err
		}
	}
	return nil
}

// next makes the next message, or none.
func (t *teller) next() (id, message string, more bool) {
	b := t.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.table == nil {
		return "", "", false
	}
	fields := []string{t.now()}
	if t.epoch != b.epoch || t.version < b.table.forgot && t.version > 0 {
		t.epoch, t.version = b.epoch, 0
		fields = append(fields, `"reset":true`)
	}
	if t.first {
		fields = append(fields, `"version":`+strconv.Quote(b.options.Version), fmt.Sprintf(`"started":%d`, millis(b.options.Started)))
	}
	changes, more := b.table.since(t.version, b.limits.entries)
	if len(changes) == 0 && !t.first {
		return "", "", false
	}
	t.first = false
	var set, gone []string
	for _, e := range changes {
		t.version = e.version
		if e.isGone() {
			gone = append(gone, fmt.Sprintf("[%q,%s]", e.key.kind, quote(e.key.name)))
		} else {
			set = append(set, fmt.Sprintf("[%q,%s]", e.key.kind, e.body))
		}
	}
	if !more {
		t.version = b.table.version
	}
	fields = append(fields, fmt.Sprintf(`"more":%t`, more), `"set":[`+strings.Join(set, ",")+`]`, `"gone":[`+strings.Join(gone, ",")+`]`)
	return fmt.Sprintf("%s-%d", t.epoch, t.version), "{" + strings.Join(fields, ",") + "}", more
}

func (t *teller) now() string { return fmt.Sprintf(`"now":%d`, millis(time.Now())) }

// write writes a message, or gives up on a reader that does not take it.
func (t *teller) write(id, message string) error {
	if err := t.connection.SetWriteDeadline(time.Now().Add(t.board.limits.write)); err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	if _, err := fmt.Fprintf(t.w, "%sdata: %s\n\n", id, message); err != nil {
		return err
	}
	return t.connection.Flush()
}
