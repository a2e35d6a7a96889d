// usage: first-answer ADDR:PORT COMMAND [ARGUMENT...]
// Starts the command and prints the milliseconds from just before exec to its first answer to a STUN Binding request;
// then ends it. The server must listen on a local address.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../wire/stun.h"

enum { TRIES = 40000, STOP_TRIES = 500 };   // a quarter and ten milliseconds apart: ten and five seconds
static const struct timespec try_interval = {0, 250000}, stop_interval = {0, 10000000};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "first-answer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int connect_to(const char *text)
{
    char host[INET_ADDRSTRLEN];
    unsigned port;
    struct sockaddr_in server = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &server.sin_addr) != 1)
        fail("the first argument is ADDRESS:PORT");
    server.sin_port = htons(port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) != 0)
        fail("socket");
    return fd;
}

// Whether a Binding success response waits. Refusals (nobody listens yet) are read away.
static int answered(int fd)
{
    uint8_t bytes[STUN_MESSAGE_MAX];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED;) {
        struct stun_message m;
        if (n > 0 && stun_parse(bytes, n, &m) && m.method == STUN_BINDING && m.class == STUN_SUCCESS)
            return 1;
    }
    return 0;
}

static void stop(pid_t child)
{
    kill(child, SIGTERM);
    for (int i = 0; i < STOP_TRIES; i++) {
        if (waitpid(child, NULL, WNOHANG) == child)
            return;
        nanosleep(&stop_interval, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: first-answer ADDR:PORT COMMAND [ARGUMENT...]\n", stderr);
        return 64;
    }
    int fd = connect_to(argv[1]);
    struct stun_writer request;
    stun_begin(&request, STUN_BINDING, STUN_REQUEST, (const uint8_t *)"first-answer");
    double start = now_ms(), took = -1;
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        execvp(argv[2], argv + 2);
        fail(argv[2]);
    }
    for (int i = 0; i < TRIES && took < 0; i++) {
        if (send(fd, request.bytes, request.length, MSG_DONTWAIT) < 0 && errno != ECONNREFUSED && errno != EAGAIN)
            fail("send");
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ppoll(&readable, 1, &try_interval, NULL);
        if (answered(fd))
            took = now_ms() - start;
        else if (waitpid(child, NULL, WNOHANG) == child)
            break;
        else
            nanosleep(&try_interval, NULL);
    }
    stop(child);
    if (took < 0) {
        fputs("first-answer: no answer\n", stderr);
        return 1;
    }
    printf("%.3f\n", took);
}
