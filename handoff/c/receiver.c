/*
 * A receiver that hands its socket over, and says what it hears:
 *
 *	receiver SOCKET GROUP PORT ENTRY
 *
 * It prints a line for each message of the daemon and each tenth datagram, and
 * hands the socket over again where the daemon is gone. It hears nothing but
 * what is joined on its own socket.
 */
#define _GNU_SOURCE
#include "ssmd_handoff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_MULTICAST_ALL
#define IP_MULTICAST_ALL 49
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

static char message[SSMD_HANDOFF_MAX + 1];

static void fail(const char *what)
{
	printf("failed %s: %s %s\n", what, strerror(errno), message);
	exit(1);
}

static int open_socket(const char *group, const char *port)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6};
	int six = inet_pton(AF_INET, group, &a4.sin_addr) != 1, off = 0;
	struct sockaddr *a = six ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t size = six ? sizeof a6 : sizeof a4;
	int s;

	a4.sin_port = a6.sin6_port = htons((in_port_t)atoi(port));
	if (six && inet_pton(AF_INET6, group, &a6.sin6_addr) != 1)
		fail("read the group");
	s = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || bind(s, a, size) < 0)
		fail("bind");
	if (six ? setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off) < 0
	        : setsockopt(s, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) < 0)
		fail("set MULTICAST_ALL");
	return s;
}

/* Says what the daemon said. Returns 0 where it is gone. */
static int tell(int daemon)
{
	char type[32], state[32] = "";
	ssize_t n = ssmd_handoff_receive(daemon, message, sizeof message);

	if (n < 0)
		fail("receive");
	if (n == 0)
		return 0;
	if (ssmd_handoff_string(message, "type", type, sizeof type) < 0)
		fail("read the type");
	ssmd_handoff_string(message, "state", state, sizeof state);
	printf("%s%s%s\n", type, state[0] ? " " : "", state);
	return 1;
}

int main(int count, char **words)
{
	struct pollfd both[2] = {{.events = POLLIN}, {.fd = -1, .events = POLLIN}};
	unsigned long heard = 0;
	char datagram[2048];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count != 5) {
		fprintf(stderr, "want SOCKET GROUP PORT ENTRY\n");
		return 2;
	}
	both[0].fd = open_socket(words[2], words[3]);
	for (;;) {
		if (both[1].fd < 0) {
			both[1].fd = ssmd_handoff_open(words[1], both[0].fd, words[4], message, sizeof message);
			if (both[1].fd >= 0)
				printf("handed over\n");
			else if (errno == EPROTO)
				fail("hand over");
		}
		if (poll(both, 2, 100) < 0)
			fail("poll");
		if (both[0].revents & POLLIN && recv(both[0].fd, datagram, sizeof datagram, 0) > 0 && ++heard % 10 == 0)
			printf("heard %lu\n", heard);
		if (both[1].fd >= 0 && both[1].revents && !tell(both[1].fd)) {
			printf("lost\n");
			close(both[1].fd);
			both[1].fd = -1;
		}
	}
}
