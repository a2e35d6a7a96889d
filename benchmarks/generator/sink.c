// Counts nothing that is corrupted or came to the wrong place.
#include "generator.h"

// Checks one payload. Returns the session when it is right and of this run, else counts why not.
static bool check_payload(struct sink *sink, const uint8_t *bytes, size_t length, enum direction d, uint32_t *session)
{
    struct generator *g = sink->generator;
    uint32_t sequence;
    if (length < sink->shape->payload || length > PAYLOAD_MAX) {
        sink->tally.corrupted++;
        return false;
    }
    enum payload_check check = payload_read(bytes, length, g->run, d, session, &sequence);
    bool whole = length == sink->shape->payload + sequence % sink->shape->spread;
    if (check != PAYLOAD_RIGHT || *session >= g->session_count || !whole) {
        *(check == PAYLOAD_STALE ? &sink->tally.stale : &sink->tally.corrupted) += 1;
        return false;
    }
    uint32_t *seen = &g->sessions[*session].seen_sequence[d];
    sink->tally.reordered += sequence < *seen;
    if (sequence >= *seen)
        *seen = sequence + 1;
    return true;
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

static void on_peer(void *context, const struct datagram *datagram)
{
    struct sink *sink = context;
    struct generator *g = sink->generator;
    uint32_t n;
    if (!check_payload(sink, datagram->bytes, datagram->length, UP, &n))
        return;
    bool here = datagram->destination == peer_address(g, n) &&
                same_address(&datagram->source, &g->sessions[n].relayed);
    *(here ? &sink->tally.received : &sink->tally.misdelivered) += 1;
}

static void on_client(void *context, const struct datagram *datagram)
{
    struct sink *sink = context;
    struct generator *g = sink->generator;
    const uint8_t *bytes = datagram->bytes;
    uint32_t n;
    // Late answers of the control plane are no channel data.
    if (datagram->length < CHANNEL_HEADER_BYTES || (bytes[0] & 0xC0) != 0x40) {
        sink->tally.unexpected++;
        return;
    }
    size_t length = bytes[2] << 8 | bytes[3];
    if (length + CHANNEL_HEADER_BYTES > datagram->length) {
        sink->tally.corrupted++;
        return;
    }
    if (!check_payload(sink, bytes + CHANNEL_HEADER_BYTES, length, DOWN, &n))
        return;
    bool here = datagram->destination == client_address(g, n) &&
                same_address(&datagram->source, &g->options.server) &&
                (bytes[0] << 8 | bytes[1]) == g->sessions[n].channel;
    *(here ? &sink->tally.received : &sink->tally.misdelivered) += 1;
}

void sink_drain(struct sink *sink)
{
    struct generator *g = sink->generator;
    if (receive_batch(g->peers, on_peer, sink) + receive_batch(g->clients, on_client, sink) > 0)
        sink->tally.last_arrival = now_ns();
}
