"""A receiver that hands its socket over, and says what it hears, as receiver.c:

    receiver.py SOCKET GROUP PORT ENTRY
"""

import json
import selectors
import socket
import sys

import ssmd_handoff

IP_MULTICAST_ALL, IPV6_MULTICAST_ALL = 49, 29


def open_socket(group, port):
    six = ":" in group
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((group, port))
    if six:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
    return sock


def main(path, group, port, entry):
    sock = open_socket(group, int(port))
    daemon = ssmd_handoff.Handoff(sock, json.loads(entry), path)
    print("handed over", flush=True)
    heard = 0
    while True:
        if daemon.fileno() < 0:
            try:
                daemon.reconnect(timeout=0)  # goes on to receive meanwhile
                print("handed over", flush=True)
            except TimeoutError:
                pass
        with selectors.DefaultSelector() as both:
            both.register(sock, selectors.EVENT_READ)
            if daemon.fileno() >= 0:
                both.register(daemon, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in both.select(0.1)]
        if sock in ready and sock.recv(2048):
            heard += 1
            if heard % 10 == 0:
                print("heard", heard, flush=True)
        if daemon in ready:
            message = daemon.receive()
            if message is None:
                print("lost", flush=True)
            else:
                print(message["type"], message.get("state", ""), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
