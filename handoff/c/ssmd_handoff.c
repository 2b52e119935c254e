#define _GNU_SOURCE /* SOCK_CLOEXEC, MSG_CMSG_CLOEXEC */
#include "ssmd_handoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int set_timeouts(int fd, time_t seconds)
{
	struct timeval t = {.tv_sec = seconds};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

/* Connects, also where signals come while the daemon's queue is full. */
static int try_connect(int fd, const struct sockaddr_un *a)
{
	for (;;) {
		if (connect(fd, (const struct sockaddr *)a, sizeof *a) == 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (path == NULL)
		path = getenv(SSMD_HANDOFF_VARIABLE);
	if (path == NULL || path[0] == '\0')
		path = SSMD_HANDOFF_SOCKET;
	if (strlen(path) >= sizeof a.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (set_timeouts(fd, SSMD_HANDOFF_PATIENCE) < 0 ||
	    try_connect(fd, &a) < 0) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

/* Sends a request, with a descriptor unless sock is -1. */
static int send_request(int fd, const char *entry, int sock)
{
	union {
		struct cmsghdr header; /* for its alignment */
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec body = {.iov_base = (void *)(size_t)entry, .iov_len = strlen(entry)};
	struct msghdr m = {.msg_iov = &body, .msg_iovlen = 1};

	if (body.iov_len == 0 || body.iov_len > SSMD_HANDOFF_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (sock >= 0) {
		memset(&control, 0, sizeof control);
		m.msg_control = control.space;
		m.msg_controllen = sizeof control.space;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof sock);
		memcpy(CMSG_DATA(c), &sock, sizeof sock);
	}
	for (;;) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

ssize_t ssmd_handoff_receive(int daemon, char *message, size_t size)
{
	struct iovec body = {.iov_base = message, .iov_len = size - 1};
	struct msghdr m = {.msg_iov = &body, .msg_iovlen = 1};
	ssize_t n;

	if (size == 0) {
		errno = EMSGSIZE;
		return -1;
	}
	do
		n = recvmsg(daemon, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -1;
	message[n] = '\0';
	if (m.msg_flags & MSG_TRUNC) {
		errno = EMSGSIZE;
		return -1;
	}
	return n;
}

int ssmd_handoff_open(const char *path, int sock, const char *entry,
                      char *message, size_t size)
{
	int fd, sent, e;
	ssize_t n;

	if (sock < 0) {
		errno = EBADF;
		return -1;
	}
	if (size > 0)
		message[0] = '\0';
	fd = connect_to(path);
	if (fd < 0)
		return -1;
	sent = send_request(fd, entry, sock);
	e = errno;
	/* Whoever is refused before he said anything hears why all the same. */
	if (sent < 0 && e != EPIPE && e != ECONNRESET)
		goto failed;
	n = ssmd_handoff_receive(fd, message, size);
	if (n <= 0) {
		e = n == 0 ? ECONNRESET : errno;
		goto failed;
	}
	e = EPROTO;
	if (sent < 0 || ssmd_handoff_type(message) != SSMD_HANDOFF_ANSWER)
		goto failed;
	if (set_timeouts(fd, 0) == 0)
		return fd;
	e = errno;
failed:
	close(fd);
	errno = e;
	return -1;
}

int ssmd_handoff_put(int daemon, const char *entry)
{
	return send_request(daemon, entry, -1);
}

/* Returns what follows the white space of JSON. */
static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

/* Returns what follows a string, which begins after its quote; NULL for no end. */
static const char *skip_string(const char *s)
{
	for (; *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (*s == '\0')
			return NULL;
	}
	return s + 1;
}

/* Returns what follows a value, NULL for no end. */
static const char *skip_value(const char *s)
{
	size_t depth = 0;

	for (; *s != '\0'; s++) {
		if (*s == '"') {
			s = skip_string(s + 1);
			if (s == NULL)
				return NULL;
			s--;
		} else if (*s == '{' || *s == '[') {
			depth++;
		} else if (*s == '}' || *s == ']') {
			if (depth == 0)
				return s;
			depth--;
		} else if (*s == ',' && depth == 0) {
			return s;
		}
	}
	return NULL;
}

/* Finds the value of a member of the object, NULL for none. */
static const char *find(const char *s, const char *key)
{
	size_t length = strlen(key);

	s = skip_space(s);
	if (*s != '{')
		return NULL;
	do {
		s = skip_space(s + 1);
		if (*s != '"')
			return NULL;
		const char *name = s + 1;
		s = skip_string(name);
		if (s == NULL)
			return NULL;
		int same = (size_t)(s - 1 - name) == length && strncmp(name, key, length) == 0;
		s = skip_space(s);
		if (*s != ':')
			return NULL;
		s = skip_space(s + 1);
		if (same)
			return s;
		s = skip_value(s);
	} while (s != NULL && *s == ',');
	return NULL;
}

ssize_t ssmd_handoff_string(const char *message, const char *key,
                            char *value, size_t size)
{
	static const char escaped[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *s = find(message, key);
	size_t n = 0;

	if (s == NULL || *s != '"' || skip_string(s + 1) == NULL) {
		errno = ENOENT;
		return -1;
	}
	for (s++; *s != '"'; s++) {
		const char *e = *s == '\\' ? strchr(escaped, s[1]) : NULL;

		if (n + 1 >= size) {
			errno = EMSGSIZE;
			return -1;
		}
		if (e != NULL) {
			value[n++] = meant[e - escaped];
			s++;
		} else {
			value[n++] = *s;
		}
	}
	if (n >= size) {
		errno = EMSGSIZE;
		return -1;
	}
	value[n] = '\0';
	return (ssize_t)n;
}

enum ssmd_handoff_type ssmd_handoff_type(const char *message)
{
	char type[16];

	if (ssmd_handoff_string(message, "type", type, sizeof type) < 0)
		return SSMD_HANDOFF_EVENT;
	if (strcmp(type, "answer") == 0)
		return SSMD_HANDOFF_ANSWER;
	if (strcmp(type, "refused") == 0)
		return SSMD_HANDOFF_REFUSED;
	if (strcmp(type, "ended") == 0)
		return SSMD_HANDOFF_ENDED;
	return SSMD_HANDOFF_EVENT;
}
