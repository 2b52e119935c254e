"""Hands a program's own socket over to the ssmd daemon, which keeps it joined
while interfaces come and go. docs/handoff.md has the protocol.

One file, Python 3.9 or later, nothing but the standard library:

    entry = {"channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}
    with ssmd_handoff.Handoff(sock, entry) as daemon:
        for message in daemon:
            print(message["type"], message.get("reason"))

The socket stays the program's, which reads from it as before. Without a thread
for the loop, wait for ``daemon`` (it has ``fileno()``) in ``select`` or
``selectors`` beside the socket, and call ``receive()`` where it is readable.
"""

import errno
import json
import os
import socket
import time

__all__ = ["Handoff", "Refused", "DEFAULT_SOCKET", "VARIABLE", "MAX_MESSAGE"]

DEFAULT_SOCKET = "/run/ssmd/handoff.sock"  # by convention
VARIABLE = "SSMD_HANDOFF_SOCKET"  # names another path
MAX_MESSAGE = 65536  # bytes, in either direction
PATIENCE = 15.0  # seconds for an answer


class Refused(Exception):
    """The daemon did not take a request. problem is why: an RFC 9457 object."""

    def __init__(self, problem):
        super().__init__(problem.get("detail") or problem.get("title"))
        self.problem = problem


class Handoff:
    """A socket that is with the daemon, until close().

    sock is a UDP socket, and entry what is wished for: a dictionary with
    the keys that a membership has in the daemon's configuration. path is where
    the daemon listens. The constructor waits for the answer, which is in
    membership; it raises Refused, or OSError where there is no daemon
    (FileNotFoundError, ConnectionRefusedError).
    """

    def __init__(self, sock, entry, path=None):
        self._sock = sock
        self._entry = entry
        self._asked = []  # entries that no answer came to yet
        self._path = path or os.environ.get(VARIABLE) or DEFAULT_SOCKET
        self._daemon = None
        self.membership = None
        self._connect()

    def _connect(self):
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            daemon.settimeout(PATIENCE)
            daemon.connect(self._path)
            failed = None
            try:
                socket.send_fds(daemon, [_encode(self._entry)], [self._sock.fileno()])
            except (BrokenPipeError, ConnectionResetError) as error:
                failed = error  # who was refused before hears why all the same
            data = daemon.recv(MAX_MESSAGE)
            if not data:
                raise failed or ConnectionResetError(errno.ECONNRESET, "the daemon hung up")
            message = json.loads(data)
            if message["type"] == "refused":
                raise Refused(message["problem"])
            self.membership = message["membership"]
            daemon.settimeout(None)
        except BaseException:
            daemon.close()
            raise
        self._daemon, self._asked = daemon, []

    def fileno(self):
        """Return the descriptor to wait for, -1 while there is no daemon."""
        return -1 if self._daemon is None else self._daemon.fileno()

    def put(self, entry):
        """Ask for other channels or rules; the answer is a later message."""
        if self._daemon is None:
            raise ConnectionResetError(errno.ECONNRESET, "no connection to the daemon")
        data = _encode(entry)
        self._daemon.send(data)
        self._asked.append(entry)

    def receive(self):
        """Wait for the next message, a dictionary; None where the daemon is gone.

        An answer to put() has the type "answer" or "refused". After None call
        reconnect(): what is joined stays joined meanwhile. After a message of
        the type "ended" with another cause than "shutdown" the daemon keeps
        nothing any more.
        """
        if self._daemon is None:
            return None
        try:
            data = self._daemon.recv(MAX_MESSAGE)
        except ConnectionResetError:
            data = b""
        if not data:
            self.close()
            return None
        message = json.loads(data)
        if message["type"] == "answer":
            self.membership = message["membership"]
            self._entry = self._asked.pop(0)
        elif message["type"] == "refused":
            self._asked.pop(0)
        return message

    def reconnect(self, timeout=None):
        """Hand the socket over anew, and wait for a daemon as long as it takes.

        Raises Refused, or TimeoutError after so many seconds.
        """
        self.close()
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.01
        while True:
            try:
                return self._connect()
            except Refused as refused:
                if refused.problem.get("status") != 503:
                    raise
            except OSError:
                if self._sock.fileno() < 0:
                    raise
            if until is not None and time.monotonic() + pause > until:
                raise TimeoutError("no daemon at " + self._path)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def __iter__(self):
        """Yield messages, over restarts of the daemon, until it ends for good."""
        while True:
            message = self.receive()
            if message is None:
                self.reconnect()
                continue
            yield message
            if message["type"] == "ended" and message.get("cause") != "shutdown":
                return

    def close(self):
        """Take the socket back: the daemon leaves what it had joined on it."""
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _encode(entry):
    data = json.dumps(entry).encode()
    if len(data) > MAX_MESSAGE:
        raise ValueError("a request of %d bytes, want at most %d" % (len(data), MAX_MESSAGE))
    return data
