#include "generator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void fail(const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("generator: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
    exit(1);
}

static uint32_t parse_address(const char *name, const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) {
        errno = 0;
        fail("--%s: '%s' is no IPv4 address", name, text);
    }
    return ntohl(address.s_addr);
}

static void parse_server(const char *text, struct sockaddr_in *server)
{
    char host[INET_ADDRSTRLEN];
    unsigned port;
    if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || port == 0 || port > UINT16_MAX)
        fail("--server: '%s' is not ADDRESS:PORT", text);
    *server = (struct sockaddr_in){
        AF_INET, htons(port), {htonl(parse_address("server", host))}, {0}};
}

static void parse_mac(const char *name, const char *text, uint8_t mac[6])
{
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
        fail("--%s: '%s' is no MAC address", name, text);
}

static void take_option(struct options *o, int option, const char *name, const char *value)
{
    switch (option) {
    case 'i': o->interface = value; break;
    case 'g': parse_mac(name, value, o->gateway); break;
    case 's': parse_server(value, &o->server); break;
    case 'u': o->user = value; break;
    case 'w': o->password = value; break;
    case 'c': o->first_client = parse_address(name, value); break;
    case 'p': o->first_peer = parse_address(name, value); break;
    case 'o': o->object = value; break;
    case 'x': o->spare = value; break;
    case 'I': o->peer_interface = value; break;
    case 'G': parse_mac(name, value, o->peer_gateway); break;
    default: exit(64);
    }
}

struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"interface", required_argument, NULL, 'i'},      {"gateway", required_argument, NULL, 'g'},
        {"server", required_argument, NULL, 's'},         {"user", required_argument, NULL, 'u'},
        {"password", required_argument, NULL, 'w'},       {"clients", required_argument, NULL, 'c'},
        {"peers", required_argument, NULL, 'p'},          {"frames", required_argument, NULL, 'o'},
        {"spare-interface", required_argument, NULL, 'x'}, {"peer-interface", required_argument, NULL, 'I'},
        {"peer-gateway", required_argument, NULL, 'G'},   {0},
    };
    struct options o = {.user = "", .password = ""};
    for (int c, index; (c = getopt_long(argc, argv, "", names, &index)) != -1;)
        take_option(&o, c, c == '?' ? "" : names[index].name, optarg);
    errno = 0;
    if (!o.interface || !o.server.sin_port || !o.first_client || !o.first_peer)
        fail("--interface NAME --gateway MAC --server ADDR:PORT --clients ADDR --peers ADDR are needed"
             " (and --user NAME --password WORD; --frames OBJECT --spare-interface NAME for the kernel half;"
             " --peer-interface NAME --peer-gateway MAC for peers elsewhere)");
    if (o.object && !o.spare)
        fail("--frames needs --spare-interface");
    return o;
}
