/*
 * The least that can be done: read rtnetlink, and when the interface of a name
 * is up, join channels on it, 20 groups to a socket; when it is gone, close the
 * sockets, newest first. Benchmarks hold ssmd against it.
 *
 * bare NAME 4|6 COUNT SOURCES [filter]
 *
 * COUNT channels, SOURCES of them of each group, are joined with a call each, or,
 * with "filter", with two calls a group. It joins at once where the interface is
 * there, and then says "ready"; later it says "joined" and "left". SIGUSR1 has it
 * leave, SIGUSR2 join again, SIGTERM leave and end.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { groups_per_socket = 20, most_sources = 64 };

static const char *name;
static int family, level, count, sources_per_group, by_filter;
static struct sockaddr_storage first_group, first_source;
static int sockets[1 << 16], open_sockets, joined_index;

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static void say(const char *line)
{
	if (write(1, line, strlen(line)) < 0)
		die("write");
}

/* fill makes the i-th address after a first one. */
static void fill(struct sockaddr_storage *to, const struct sockaddr_storage *first, int i)
{
	*to = *first;
	if (family == AF_INET)
		((struct sockaddr_in *)to)->sin_addr.s_addr = htonl(ntohl(((struct sockaddr_in *)to)->sin_addr.s_addr) + i);
	else
		((struct sockaddr_in6 *)to)->sin6_addr.s6_addr32[3] = htonl(ntohl(((struct sockaddr_in6 *)to)->sin6_addr.s6_addr32[3]) + i);
}

static void read_address(struct sockaddr_storage *to, const char *four, const char *six)
{
	to->ss_family = family;
	if (family == AF_INET)
		inet_pton(AF_INET, four, &((struct sockaddr_in *)to)->sin_addr);
	else
		inet_pton(AF_INET6, six, &((struct sockaddr_in6 *)to)->sin6_addr);
}

static void join(int fd, int index, int group, int source)
{
	struct group_source_req req = { .gsr_interface = index };

	fill(&req.gsr_group, &first_group, group);
	fill(&req.gsr_source, &first_source, source);
	if (setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &req, sizeof req))
		die("join");
}

/* widen has a socket that joined a group's first source take all of them. */
static void widen(int fd, int index, int group, int sources)
{
	static char room[GROUP_FILTER_SIZE(most_sources)];
	struct group_filter *filter = (void *)room;

	filter->gf_interface = index;
	filter->gf_fmode = MCAST_INCLUDE;
	filter->gf_numsrc = sources;
	fill(&filter->gf_group, &first_group, group);
	for (int i = 0; i < sources; i++)
		fill(&filter->gf_slist[i], &first_source, i);
	if (setsockopt(fd, level, MCAST_MSFILTER, filter, GROUP_FILTER_SIZE(sources)))
		die("set filter");
}

static void join_all(int index)
{
	int groups = (count + sources_per_group - 1) / sources_per_group, fd = -1;

	for (int group = 0; group < groups; group++) {
		int left = count - group * sources_per_group;
		int sources = left < sources_per_group ? left : sources_per_group;

		if (group % groups_per_socket == 0) {
			fd = sockets[open_sockets++] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			if (fd < 0)
				die("socket");
		}
		for (int source = 0; source < (by_filter ? 1 : sources); source++)
			join(fd, index, group, source);
		if (by_filter)
			widen(fd, index, group, sources);
	}
	joined_index = index;
}

static void close_all(void)
{
	while (open_sockets > 0)
		close(sockets[--open_sockets]);
}

/* obey is a signal handler: whoever sends signals waits for the answers. */
static void obey(int signal)
{
	if (signal == SIGUSR2) {
		join_all(joined_index);
		say("joined\n");
		return;
	}
	close_all();
	if (signal == SIGTERM)
		_exit(0);
	say("left\n");
}

static void take(struct nlmsghdr *h)
{
	struct ifinfomsg *info = NLMSG_DATA(h);
	struct rtattr *a = IFLA_RTA(info);
	int left = IFLA_PAYLOAD(h);

	if (info->ifi_family != AF_UNSPEC)
		return;
	if (h->nlmsg_type == RTM_DELLINK && info->ifi_index == joined_index) {
		close_all();
		joined_index = 0;
		say("left\n");
	}
	if (h->nlmsg_type != RTM_NEWLINK || !(info->ifi_flags & IFF_UP) || info->ifi_index == joined_index)
		return;
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == IFLA_IFNAME && strcmp(RTA_DATA(a), name) == 0) {
			join_all(info->ifi_index);
			say("joined\n");
		}
}

int main(int argc, char **argv)
{
	struct sockaddr_nl local = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	struct sigaction action = { .sa_handler = obey, .sa_flags = SA_RESTART };
	struct rlimit files;
	static char buffer[65536];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), index;

	if (argc < 5 || fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local))
		die("bare NAME 4|6 COUNT SOURCES [filter]");
	name = argv[1];
	family = atoi(argv[2]) == 4 ? AF_INET : AF_INET6;
	level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	count = atoi(argv[3]);
	sources_per_group = atoi(argv[4]);
	by_filter = argc > 5;
	read_address(&first_group, "232.1.0.0", "ff3e::8000:0");
	read_address(&first_source, "10.1.0.1", "2001:db8:1::1");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	index = if_nametoindex(name);
	if (index > 0)
		join_all(index);
	say("ready\n");
	for (;;) {
		int n = recv(fd, buffer, sizeof buffer, 0);

		if (n < 0)
			die("recv");
		for (struct nlmsghdr *h = (void *)buffer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			take(h);
	}
}
