/*
 * Hands a program's own socket over to the ssmd daemon, which keeps it joined
 * while interfaces come and go. docs/handoff.md has the protocol.
 *
 * C99 and POSIX, no other dependencies: compile ssmd_handoff.c with the
 * program. No function keeps anything; all may be called by several threads
 * for different descriptors. After an error each returns -1 with errno.
 *
 *	char message[SSMD_HANDOFF_MAX + 1];
 *	int daemon = ssmd_handoff_open(NULL, sock,
 *	    "{\"channels\": \"10.1.0.1@232.1.1.1\", \"interface\": \"eth0\"}",
 *	    message, sizeof message);
 *
 * From then on poll daemon for POLLIN beside the program's own descriptors, and
 * call ssmd_handoff_receive for each message. Where that returns 0 the daemon
 * is gone: close daemon, and open again after a while, as in a restart. What
 * is joined stays joined meanwhile. To take the socket back, close daemon.
 *
 * A program that wants no messages calls shutdown(daemon, SHUT_RD) after the
 * open: it notices the end of the daemon by POLLHUP.
 */
#ifndef SSMD_HANDOFF_H
#define SSMD_HANDOFF_H

#include <stddef.h>
#include <sys/types.h>

/* The most bytes of a message, in either direction, without a final zero. */
#define SSMD_HANDOFF_MAX 65536

/* Where the daemon listens, by convention, and what names another path. */
#define SSMD_HANDOFF_SOCKET "/run/ssmd/handoff.sock"
#define SSMD_HANDOFF_VARIABLE "SSMD_HANDOFF_SOCKET"

/* How long the daemon may take for the answer to ssmd_handoff_open, in seconds. */
#define SSMD_HANDOFF_PATIENCE 15

/* What a message is. */
enum ssmd_handoff_type {
	SSMD_HANDOFF_EVENT,   /* an event of the membership: see its member "type" */
	SSMD_HANDOFF_ANSWER,  /* a request was taken */
	SSMD_HANDOFF_REFUSED, /* a request was not */
	SSMD_HANDOFF_ENDED    /* the last message: its "cause" is "shutdown" where
	                         the next daemon takes the socket again */
};

/*
 * Connects to the daemon at path (NULL: SSMD_HANDOFF_SOCKET of the environment,
 * else the path by convention), hands sock over with a membership as it stands
 * in the daemon's configuration, as a JSON object, and waits for the answer,
 * which is left in message. Returns the connection. Where the daemon refuses,
 * errno is EPROTO and message says why. ENOENT and ECONNREFUSED: no daemon.
 */
int ssmd_handoff_open(const char *path, int sock, const char *entry,
                      char *message, size_t size);

/*
 * Asks for other channels or rules on the socket that is handed over. The answer
 * comes as a message. Returns 0.
 */
int ssmd_handoff_put(int daemon, const char *entry);

/*
 * Receives one message, and ends it with a zero. Returns its length, 0 where the
 * connection has ended. It waits for one, unless the connection was made
 * non-blocking: then errno is EAGAIN. EMSGSIZE: it is longer than size.
 */
ssize_t ssmd_handoff_receive(int daemon, char *message, size_t size);

/* Says what a message is. */
enum ssmd_handoff_type ssmd_handoff_type(const char *message);

/*
 * Copies a member of a message that is a string, as "type", "state", "cause",
 * "reason" or "interface", with a final zero. Returns its length, -1 with
 * ENOENT where there is no such member, with EMSGSIZE where value is too small.
 * Escapes other than \" \\ \/ \b \f \n \r \t are left as they are.
 */
ssize_t ssmd_handoff_string(const char *message, const char *key,
                            char *value, size_t size);

#endif
