// What a run needs, written into the maps: headers with their sums, and how every datagram has to arrive.
#include "frames.h"

#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

enum { TTL = 64, DONT_FRAGMENT = 0x4000 };

struct ends {
    struct sockaddr_in from, to;        // as it leaves the generator
    struct sockaddr_in source, sink;    // as it arrives
    uint16_t channel_out, channel_in;   // host order; 0: plain UDP
};

static struct sockaddr_in client_of(const struct generator *g, uint32_t n)
{
    return (struct sockaddr_in){AF_INET, htons(CLIENT_PORT), {htonl(client_address(g, n))}, {0}};
}

// Where the datagrams of session `n` come from and where they have to arrive.
static struct ends ends_of(const struct generator *g, const struct frames_shape *shape, uint32_t n, enum direction d)
{
    const struct session *s = &g->sessions[n];
    struct sockaddr_in client = client_of(g, n), server = g->options.server;
    if (shape->way == WAY_ECHO)
        return (struct ends){client, server, server, client, s->channel, s->channel};
    if (shape->way == WAY_PAIRS)
        return (struct ends){client, server, server, client_of(g, n ^ 1), s->channel, g->sessions[n ^ 1].channel};
    struct sockaddr_in peer = peer_of(g, n);
    if (d == UP)
        return (struct ends){client, server, s->relayed, peer, s->channel, 0};
    return (struct ends){peer, s->relayed, server, client, 0, s->channel};
}

// The sum of 16-bit words as they lie in memory; not folded. `length` is even.
static uint64_t sum_words(const void *bytes, size_t length)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i += 2) {
        uint16_t word;
        memcpy(&word, (const uint8_t *)bytes + i, 2);
        sum += word;
    }
    return sum;
}

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

static void write_template(struct generator *g, struct frames_template *t, const struct frames_shape *shape, uint32_t n,
                           const struct ends *ends, enum direction d)
{
    uint16_t around = ends->channel_out ? CHANNEL_HEADER_BYTES : 0;
    struct ether_header ether = {.ether_type = htons(ETHERTYPE_IP)};
    bool by_peers = d == DOWN && g->options.peer_interface;
    memcpy(ether.ether_shost, by_peers ? g->peer_mac : g->mac, 6);
    memcpy(ether.ether_dhost, by_peers ? g->options.peer_gateway : g->options.gateway, 6);
    struct udphdr udp = {
        .source = ends->from.sin_port, .dest = ends->to.sin_port, .len = htons(sizeof udp + around + shape->payload)};
    struct iphdr ip = {
        .version = 4, .ihl = 5, .tot_len = htons(sizeof ip + sizeof udp + around + shape->payload),
        .frag_off = htons(DONT_FRAGMENT), .ttl = TTL, .protocol = IPPROTO_UDP,
        .saddr = ends->from.sin_addr.s_addr, .daddr = ends->to.sin_addr.s_addr};
    ip.check = ~fold(sum_words(&ip, sizeof ip));
    uint16_t channel[2] = {htons(ends->channel_out), htons(shape->payload)};
    uint32_t head[2] = {g->run, n};
    uint64_t sum = sum_words(&ip.saddr, 8) + htons(IPPROTO_UDP) + udp.len + sum_words(&udp, sizeof udp) +
                   sum_words(head, sizeof head) +
                   sum_words(g->link->noise, shape->payload - sizeof(struct frames_head));
    if (around)
        sum += sum_words(channel, sizeof channel);
    memset(t, 0, sizeof *t);
    memcpy(t->headers, &ether, sizeof ether);
    memcpy(t->headers + sizeof ether, &ip, sizeof ip);
    memcpy(t->headers + FRAMES_UDP_OFFSET, &udp, sizeof udp);
    memcpy(t->headers + FRAMES_HEADERS_BYTES, channel, around);
    t->sum = fold(sum);
}

void prepare_sessions(struct generator *g, const struct frames_shape *shape)
{
    for (uint32_t n = 0; n < shape->sessions; n++) {
        for (enum direction d = UP; d <= DOWN; d++) {
            struct ends ends = ends_of(g, shape, n, d);
            write_template(g, &g->link->templates[n * 2 + d], shape, n, &ends, d);
            g->link->expectations[n * 2 + d] = (struct frames_expectation){
                .source = ends.source.sin_addr.s_addr, .destination = ends.sink.sin_addr.s_addr,
                .source_port = ends.source.sin_port, .channel = htons(ends.channel_in)};
        }
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct frames_appointment *x = a, *y = b;
    return (x->offset_ns > y->offset_ns) - (x->offset_ns < y->offset_ns);
}

void prepare_schedule(struct generator *g, const struct frames_shape *shape)
{
    uint64_t state = 88172645463325252;
    unsigned count = 0;
    for (uint32_t n = 0; n < shape->sessions; n++) {
        for (enum direction d = UP; d <= DOWN; d++) {
            if (!(shape->directions & 1u << d))
                continue;
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            g->link->schedule[count++] = (struct frames_appointment){state % shape->period_ns, n, d};
        }
    }
    qsort(g->link->schedule, count, sizeof *g->link->schedule, by_offset);
    g->link->settings->schedule_entries = count;
    g->link->settings->period_ns = shape->period_ns;
}
