#include "generator.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAMES_MAX = 16,            // handed to the kernel at once: a burst that any link sees
    QUIET_NS = 50000000,        // after this long without an arrival nothing more is expected
};

static const uint64_t tail_ns = 10 * 1000000000ull;     // and in no case is it waited longer

// The frames of one sendmmsg.
struct launcher {
    struct mmsghdr headers[FRAMES_MAX];
    struct iovec vectors[FRAMES_MAX];
    uint8_t rooms[FRAMES_MAX][FRAME_ROOM];
    uint64_t offered, sent;     // datagrams
    uint64_t turn;              // frames so far: chooses session and direction
};

static uint64_t dropped_at_socket(int socket)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof info;
    if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &length) != 0)
        fail("SO_MEMINFO");
    return info[SK_MEMINFO_DROPS];
}

// Each frame goes to the next session; with both directions every session sends up, then every session down.
static size_t next_frame(struct generator *g, struct launcher *l, const struct shape *shape, uint8_t *room)
{
    uint32_t session = l->turn % shape->sessions;
    bool second_half = l->turn / shape->sessions % 2 == 1;
    enum direction d = shape->up && shape->down ? (second_half ? DOWN : UP) : shape->up ? UP : DOWN;
    l->turn++;
    size_t payload = shape->payload + g->sessions[session].next_sequence[d] % shape->spread;
    return frame_write(g, room, session, d, payload, shape->burst);
}

static void launch(struct generator *g, struct launcher *l, const struct shape *shape, unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        l->vectors[i] = (struct iovec){l->rooms[i], next_frame(g, l, shape, l->rooms[i])};
        l->headers[i].msg_hdr = (struct msghdr){.msg_iov = &l->vectors[i], .msg_iovlen = 1};
    }
    l->offered += (uint64_t)frames * shape->burst;
    for (unsigned done = 0; done < frames;) {
        int n = sendmmsg(g->frames, l->headers + done, frames - done, MSG_DONTWAIT);
        if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            fail("send frames");
        // A frame that the link refuses was offered, not sent.
        l->sent += n < 0 ? 0 : (uint64_t)n * shape->burst;
        done += n < 0 ? 1 : n;
    }
}

// Sends at the rate until the time is over. Returns the seconds that it took.
static double blast(struct generator *g, struct launcher *l, const struct shape *shape, struct sink *sink)
{
    uint64_t start = now_ns(), end = start + shape->seconds * 1e9;
    for (uint64_t now = start; now < end; now = now_ns()) {
        uint64_t due = (now - start) / 1e9 * shape->rate;
        uint64_t frames = due > l->offered ? (due - l->offered) / shape->burst : 0;
        if (frames > 0)
            launch(g, l, shape, frames < FRAMES_MAX ? frames : FRAMES_MAX);
        sink_drain(sink);
    }
    return (now_ns() - start) / 1e9;
}

static void await_tail(struct sink *sink)
{
    uint64_t end = now_ns() + tail_ns;
    for (uint64_t now = now_ns(), quiet = now + QUIET_NS; now < end && now < quiet; now = now_ns()) {
        sink_drain(sink);
        if (sink->tally.last_arrival + QUIET_NS > quiet)
            quiet = sink->tally.last_arrival + QUIET_NS;
    }
}

void run_traffic(struct generator *g, const struct shape *shape)
{
    static struct launcher l;
    memset(&l, 0, offsetof(struct launcher, rooms));
    l.offered = l.sent = l.turn = 0;
    g->run++;
    for (uint32_t n = 0; n < g->session_count; n++) {
        struct session *s = &g->sessions[n];
        memset(s->next_sequence, 0, sizeof s->next_sequence);
        memset(s->seen_sequence, 0, sizeof s->seen_sequence);
    }
    struct sink sink = {.generator = g, .shape = shape};
    uint64_t dropped = dropped_at_socket(g->clients) + dropped_at_socket(g->peers);
    double seconds = blast(g, &l, shape, &sink);
    uint64_t in_time = sink.tally.received;
    for (uint64_t end = now_ns() + GRACE_US * 1000ull; now_ns() < end;)
        sink_drain(&sink);
    uint64_t with_grace = sink.tally.received;
    await_tail(&sink);
    dropped = dropped_at_socket(g->clients) + dropped_at_socket(g->peers) - dropped;
    printf("{\"seconds\": %.6f, \"offered\": %lu, \"sent\": %lu, \"received\": %lu, \"received_in_time\": %lu, "
           "\"received_with_grace\": %lu, \"corrupted\": %lu, \"misdelivered\": %lu, \"reordered\": %lu, \"stale\": %lu, \"unexpected\": %lu, "
           "\"sink_dropped\": %lu}\n",
           seconds, l.offered, l.sent, sink.tally.received, in_time, with_grace, sink.tally.corrupted,
           sink.tally.misdelivered, sink.tally.reordered, sink.tally.stale, sink.tally.unexpected, dropped);
}
