#define _GNU_SOURCE
#include "CTraffic.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
}

int traffic_open(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    struct timeval limit = {.tv_sec = 2};
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

long traffic_ask(int socket, uint16_t port, const void *bytes, size_t length, void *answer, size_t room)
{
    struct sockaddr_in to = loopback(port);
    if (sendto(socket, bytes, length, 0, (struct sockaddr *)&to, sizeof to) < 0)
        return -1;
    return recv(socket, answer, room, 0);
}

long traffic_relay(const int *sources, int source_count, uint16_t port, const void *bytes, size_t length, int sink,
                   size_t expected, long count, int burst)
{
    struct sockaddr_in to = loopback(port);
    char arrived[2048];
    long received = 0;
    for (long sent = 0; sent < count;) {
        int n = count - sent < burst ? count - sent : burst;
        for (int i = 0; i < n; i++)
            sendto(sources[i % source_count], bytes, length, 0, (struct sockaddr *)&to, sizeof to);
        sent += n;
        for (int i = 0; i < n; i++) {
            if (recv(sink, arrived, sizeof arrived, 0) != (ssize_t)expected)
                return received;
            received++;
        }
    }
    return received;
}

void traffic_close(int socket) { close(socket); }
