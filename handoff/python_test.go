package handoff

import (
	"os/exec"
	"testing"
)

// pythonAsksTwice has a daemon that takes the first of two further requests, and
// not the second: the client is to come again with the first.
const pythonAsksTwice = `
import json, socket, sys, tempfile, threading
sys.path.insert(0, "python")
import ssmd_handoff

with tempfile.TemporaryDirectory() as directory:
    path = directory + "/s"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    entries = []

    def hear(c):
        data, fds, _, _ = socket.recv_fds(c, 65536, 4)
        for fd in fds:
            socket.close(fd)
        entries.append(json.loads(data))

    def serve():
        c = listener.accept()[0]
        for said in "answer", "answer", "refused":
            hear(c)
            c.send(json.dumps({"type": said, "membership": {}, "problem": {"status": 400, "title": "no"}}).encode())
        c.close()
        c = listener.accept()[0]
        hear(c)
        c.send(b'{"type": "answer", "membership": {}}')
        c.recv(1)

    daemon = threading.Thread(target=serve, daemon=True)
    daemon.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, ssmd_handoff.Handoff(sock, {"n": 0}, path) as h:
        h.put({"n": 1})
        h.put({"n": 2})
        said = [h.receive()["type"], h.receive()["type"], h.receive()]
        h.reconnect(timeout=10)
    daemon.join(10)
    listener.close()
    assert said == ["answer", "refused", None], said
    assert [e["n"] for e in entries] == [0, 1, 2, 1], entries
`

// A wish that was refused is not what is asked for anew.
func TestPythonAsksTwice(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no Python")
	}
	if out, err := exec.Command(python, "-B", "-c", pythonAsksTwice).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
