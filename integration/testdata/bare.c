/*
 * The least that can be done: read rtnetlink, and when the interface of a name
 * is up, join COUNT channels on it, as many to a socket as the kernel takes;
 * when it is gone, close the sockets. Benchmarks hold ssmd against it.
 *
 * bare NAME COUNT: writes a line after each round of joins.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { per_socket = 20 };

static int sockets[1 << 16], open_sockets, joined_index;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void join_all(int index, int count)
{
	struct group_source_req req = { .gsr_interface = index };
	struct sockaddr_in *group = (struct sockaddr_in *)&req.gsr_group;
	struct sockaddr_in *source = (struct sockaddr_in *)&req.gsr_source;

	group->sin_family = source->sin_family = AF_INET;
	source->sin_addr.s_addr = inet_addr("10.1.0.1");
	for (int i = 0; i < count; i++) {
		if (i % per_socket == 0) {
			sockets[open_sockets] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			if (sockets[open_sockets++] < 0)
				die("socket");
		}
		group->sin_addr.s_addr = htonl((232u << 24) + 0x10000 + i);
		if (setsockopt(sockets[open_sockets - 1], IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &req, sizeof req))
			die("join");
	}
	joined_index = index;
	if (write(1, "joined\n", 7) != 7)
		die("write");
}

static void close_all(void)
{
	while (open_sockets > 0)
		close(sockets[--open_sockets]);
	joined_index = 0;
}

static void take(struct nlmsghdr *h, const char *name, int count)
{
	struct ifinfomsg *info = NLMSG_DATA(h);
	struct rtattr *a = IFLA_RTA(info);
	int left = IFLA_PAYLOAD(h);

	if (info->ifi_family != AF_UNSPEC)
		return;
	if (h->nlmsg_type == RTM_DELLINK) {
		if (info->ifi_index == joined_index)
			close_all();
		return;
	}
	if (h->nlmsg_type != RTM_NEWLINK || !(info->ifi_flags & IFF_UP) || info->ifi_index == joined_index)
		return;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_IFNAME && strcmp(RTA_DATA(a), name) == 0)
			join_all(info->ifi_index, count);
}

int main(int argc, char **argv)
{
	struct sockaddr_nl local = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	struct rlimit files;
	static char buffer[65536];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (argc != 3 || fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local))
		die("bare NAME COUNT");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (write(1, "ready\n", 6) != 6)
		die("write");
	for (;;) {
		int n = recv(fd, buffer, sizeof buffer, 0);

		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			take(h, argv[1], atoi(argv[2]));
	}
}
