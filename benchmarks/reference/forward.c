// The packet path: epoll, recvmmsg with UDP GRO in; decide the whole turn; then UDP GSO by destination out.
// Client to peer is one system call a run of datagrams, peer to client is one sendmmsg a turn on the listener.
#include "relay.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

union control_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

// Packets of one turn; buffers stay until everything that points into them is sent.
struct arrivals {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in sources[BATCH];
    union control_room room[BATCH];
    uint32_t tokens[BATCH];     // whose socket: a session's, or the listener
    unsigned used;
};

// What leaves at the end of a turn, one message a run. Everything that sending needs is copied here: by then the
// kernel's own work has driven routes out of the caches.
struct departures {
    struct mmsghdr headers[DEPARTURES_MAX];
    struct sockaddr_in destinations[DEPARTURES_MAX];
    int sockets[DEPARTURES_MAX];
    union control_room room[DEPARTURES_MAX];
    struct iovec vectors[DEPARTURES_MAX * 2];
    uint8_t channel_headers[DEPARTURES_MAX][CHANNEL_HEADER_BYTES];
    unsigned messages, datagrams, vectors_used;
};

// The run under way: datagrams of one size to one destination; a shorter one ends it.
struct run {
    uint32_t session;
    unsigned datagrams;
    size_t segment_bytes, total_bytes;
    bool ended;
};

struct path {
    struct relay *relay;
    struct arrivals in;
    struct departures out;
    struct run run;
};

static void say_segment_size(struct msghdr *message, union control_room *room, size_t bytes)
{
    message->msg_control = room->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t size = bytes;
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

static bool joins_run(const struct path *path, uint32_t session, size_t bytes)
{
    const struct run *run = &path->run;
    return run->datagrams > 0 && !run->ended && run->session == session && path->relay->options.gso &&
           bytes <= run->segment_bytes && run->datagrams < SEGMENTS_MAX && run->total_bytes + bytes <= SEND_BYTES_MAX;
}

static void begin_run(struct path *path, uint32_t session, size_t bytes, int socket, const struct sockaddr_in *to)
{
    struct departures *out = &path->out;
    unsigned index = out->messages++;
    out->sockets[index] = socket;
    out->destinations[index] = *to;
    out->headers[index].msg_hdr = (struct msghdr){
        .msg_name = &out->destinations[index],
        .msg_namelen = sizeof out->destinations[index],
        .msg_iov = &out->vectors[out->vectors_used],
    };
    if (path->relay->options.connected && socket != path->relay->listener)
        out->headers[index].msg_hdr.msg_name = NULL, out->headers[index].msg_hdr.msg_namelen = 0;
    path->run = (struct run){.session = session, .segment_bytes = bytes};
}

static void add_to_run(struct path *path, const struct iovec *parts, unsigned count, size_t bytes)
{
    struct departures *out = &path->out;
    struct run *run = &path->run;
    unsigned index = out->messages - 1;
    struct msghdr *message = &out->headers[index].msg_hdr;
    for (unsigned i = 0; i < count; i++)
        message->msg_iov[message->msg_iovlen++] = parts[i];
    out->vectors_used += count;
    out->datagrams++;
    run->total_bytes += bytes;
    run->ended = bytes < run->segment_bytes;
    if (++run->datagrams == 2)
        say_segment_size(message, &out->room[index], run->segment_bytes);
}

// Hands everything to the kernel, neighbours of one socket in one call. What it refuses is lost.
static void send_all(struct path *path)
{
    struct departures *out = &path->out;
    for (unsigned sent = 0; sent < out->messages;) {
        unsigned end = sent + 1;
        while (end < out->messages && out->sockets[end] == out->sockets[sent])
            end++;
        int n = sendmmsg(out->sockets[sent], out->headers + sent, end - sent, MSG_DONTWAIT);
        if (n < 0)
            path->relay->dropped++;
        sent += n < 0 ? 1 : n;
    }
    out->messages = out->datagrams = out->vectors_used = 0;
    path->run.datagrams = 0;
}

// One datagram from a client.
static void take_up(struct path *path, uint8_t *bytes, size_t length, const struct sockaddr_in *client)
{
    struct relay *relay = path->relay;
    if (length < CHANNEL_HEADER_BYTES || (bytes[0] & 0xC0) != 0x40)
        return control(relay, bytes, length, client);
    size_t payload = bytes[2] << 8 | bytes[3];
    uint32_t index = table_find(&relay->by_channel, channel_key(client, bytes[0] << 8 | bytes[1]));
    if (index == TABLE_MISS || payload + CHANNEL_HEADER_BYTES > length || path->out.datagrams == DEPARTURES_MAX) {
        relay->dropped++;
        return;
    }
    const struct session *session = &relay->sessions[index];
    if (!joins_run(path, index, payload))
        begin_run(path, index, payload, session->socket, &session->peer);
    add_to_run(path, &(struct iovec){bytes + CHANNEL_HEADER_BYTES, payload}, 1, payload);
}

// One datagram from a peer.
static void take_down(struct path *path, uint32_t index, uint8_t *bytes, size_t length, const struct sockaddr_in *peer)
{
    struct relay *relay = path->relay;
    struct departures *out = &path->out;
    if (out->datagrams == DEPARTURES_MAX || table_find(&relay->by_peer, peer_key(index, peer)) == TABLE_MISS) {
        relay->dropped++;
        return;
    }
    const struct session *session = &relay->sessions[index];
    size_t framed = length + CHANNEL_HEADER_BYTES;
    uint8_t *header = out->channel_headers[out->datagrams];
    header[0] = session->channel >> 8;
    header[1] = session->channel;
    header[2] = length >> 8;
    header[3] = length;
    if (!joins_run(path, index, framed))
        begin_run(path, index, framed, relay->listener, &session->client);
    add_to_run(path, (struct iovec[]){{header, CHANNEL_HEADER_BYTES}, {bytes, length}}, 2, framed);
}

static size_t segment_size(struct msghdr *message, size_t length)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int size;
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&size, CMSG_DATA(c), sizeof size);
            return size;
        }
    }
    return length;
}

static struct key route_key(const struct arrivals *in, unsigned i)
{
    const uint8_t *bytes = in->vectors[i].iov_base;
    return in->tokens[i] == listener_token ? channel_key(&in->sources[i], bytes[0] << 8 | bytes[1])
                                           : peer_key(in->tokens[i], &in->sources[i]);
}

// Asks for the table's lines, then for the sessions', of a whole turn before any of them is needed: with thousands
// of sessions each is a line that no cache holds.
static void prefetch_routes(const struct relay *relay, const struct arrivals *in)
{
    struct key keys[BATCH];
    const struct table *tables[BATCH];
    for (unsigned i = 0; i < in->used; i++) {
        keys[i] = route_key(in, i);
        tables[i] = in->tokens[i] == listener_token ? &relay->by_channel : &relay->by_peer;
        __builtin_prefetch(&tables[i]->entries[table_slot(tables[i], keys[i])]);
    }
    for (unsigned i = 0; i < in->used; i++) {
        uint32_t index = table_find(tables[i], keys[i]);
        if (index != TABLE_MISS)
            __builtin_prefetch(&relay->sessions[index]);
    }
}

static void prepare(struct arrivals *in, unsigned index)
{
    in->headers[index].msg_hdr = (struct msghdr){
        .msg_name = &in->sources[index],
        .msg_namelen = sizeof in->sources[index],
        .msg_iov = &in->vectors[index],
        .msg_iovlen = 1,
        .msg_control = in->room[index].bytes,
        .msg_controllen = sizeof in->room[index],
    };
}

// Takes at most `most` packets from one socket.
static void receive(struct arrivals *in, int socket, uint32_t token, unsigned most)
{
    unsigned first = in->used;
    for (unsigned i = first; i < first + most; i++)
        prepare(in, i);
    int received = recvmmsg(socket, in->headers + first, most, MSG_DONTWAIT, NULL);
    for (int i = 0; i < received; i++)
        in->tokens[in->used++] = token;
}

static void decide_all(struct path *path)
{
    struct arrivals *in = &path->in;
    prefetch_routes(path->relay, in);
    for (unsigned i = 0; i < in->used; i++) {
        size_t length = in->headers[i].msg_len;
        size_t segment = segment_size(&in->headers[i].msg_hdr, length);
        uint8_t *bytes = in->vectors[i].iov_base;
        for (size_t at = 0; at < length; at += segment) {
            size_t part = length - at < segment ? length - at : segment;
            if (in->tokens[i] == listener_token)
                take_up(path, bytes + at, part, &in->sources[i]);
            else
                take_down(path, in->tokens[i], bytes + at, part, &in->sources[i]);
        }
    }
    in->used = 0;
}

static struct path *make_path(struct relay *relay)
{
    struct path *path = calloc(1, sizeof *path);
    uint8_t *buffers = mmap(NULL, (size_t)BATCH * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);
    if (!path || buffers == MAP_FAILED)
        abort();
    path->relay = relay;
    for (unsigned i = 0; i < BATCH; i++)
        path->in.vectors[i] = (struct iovec){buffers + (size_t)i * BUFFER_BYTES, BUFFER_BYTES};
    return path;
}

static void turn(struct path *path)
{
    decide_all(path);
    send_all(path);
}

void relay_forever(struct relay *relay)
{
    struct path *path = make_path(relay);
    struct epoll_event events[BATCH];
    for (;;) {
        int ready = epoll_wait(relay->epoll, events, BATCH, -1);
        if (ready < 0 && errno != EINTR)
            abort();
        for (int i = 0; i < ready; i++) {
            uint32_t token = events[i].data.u32;
            if (path->in.used > BATCH - RELAY_BATCH)
                turn(path);
            if (token == listener_token)
                receive(&path->in, relay->listener, token, BATCH - path->in.used);
            else if (relay->sessions[token].socket >= 0)
                receive(&path->in, relay->sessions[token].socket, token, RELAY_BATCH);
        }
        turn(path);
    }
}
