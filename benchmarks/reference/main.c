// usage: reference --listen ADDR:PORT --relay ADDR [--ports FIRST-LAST] [--buffer BYTES] [--no-gro] [--no-gso] [--connected]
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void usage(const char *what)
{
    fprintf(stderr,
            "reference: %s\nusage: reference --listen ADDR:PORT --relay ADDR [--ports FIRST-LAST]"
            " [--buffer BYTES] [--no-gro] [--no-gso] [--connected]\n",
            what);
    exit(64);
}

static void grow_buffers(int socket, int bytes)
{
    // The FORCE forms pass the system's limit and need privilege; the plain ones are taken as far as they go.
    if (setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int open_socket(const struct options *options, const struct sockaddr_in *local)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (options->gro && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0)
        fail("UDP_GRO");
    if (options->buffer_bytes > 0)
        grow_buffers(fd, options->buffer_bytes);
    if (bind(fd, (const struct sockaddr *)local, sizeof *local) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void parse_listen(const char *text, struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    unsigned port;
    if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX ||
        inet_pton(AF_INET, host, &address->sin_addr) != 1)
        usage("--listen wants an IPv4 address and a port, such as 127.0.0.1:3478");
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'}, {"relay", required_argument, NULL, 'r'},
        {"ports", required_argument, NULL, 'p'},  {"buffer", required_argument, NULL, 'b'},
        {"no-gro", no_argument, NULL, 'i'},       {"no-gso", no_argument, NULL, 'o'}, {"connected", no_argument, NULL, 'c'},
        {0},
    };
    struct options o = {.gro = true, .gso = true, .first_port = 49152, .last_port = 65535};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'l')
            parse_listen(optarg, &o.listen);
        else if (c == 'r' && inet_pton(AF_INET, optarg, &o.relay) != 1)
            usage("--relay wants an IPv4 address");
        else if (c == 'p' && sscanf(optarg, "%hu-%hu", &o.first_port, &o.last_port) != 2)
            usage("--ports wants two numbers, such as 49152-65535");
        else if (c == 'b')
            o.buffer_bytes = atoi(optarg);
        else if (c == 'i')
            o.gro = false;
        else if (c == 'o')
            o.gso = false;
        else if (c == 'c')
            o.connected = true;
        else if (c == '?')
            usage("unknown option");
    }
    if (o.listen.sin_port == 0 || o.relay.s_addr == 0 || o.first_port > o.last_port)
        usage("--listen and --relay are needed");
    return o;
}

int main(int argc, char **argv)
{
    struct relay relay = {.options = parse_options(argc, argv)};
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    relay.next_port = relay.options.first_port;
    relay.sessions = calloc(SESSIONS_MAX, sizeof *relay.sessions);
    if (!relay.sessions)
        fail("memory");
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        relay.sessions[i].socket = -1;
    table_make(&relay.by_client, SESSIONS_MAX * 2);
    table_make(&relay.by_channel, SESSIONS_MAX * 2);
    table_make(&relay.by_peer, SESSIONS_MAX * 2);
    relay.epoll = epoll_create1(EPOLL_CLOEXEC);
    relay.listener = open_socket(&relay.options, &relay.options.listen);
    if (relay.listener < 0)
        fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = listener_token};
    if (epoll_ctl(relay.epoll, EPOLL_CTL_ADD, relay.listener, &event) != 0)
        fail("epoll");
    relay_forever(&relay);
}
