#include "generator.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { RETRANSMIT_NS = 200000000, TRIES_MAX = 40, POLL_MS = 20 };

// The sessions under way: `window` of them, each in the slot that it took.
struct wave {
    struct generator *g;
    enum step goal;
    uint32_t *under_way;        // session numbers
    unsigned under_way_count;
    struct control_result result;
};

static void on_answer(void *context, const struct datagram *datagram)
{
    struct wave *wave = context;
    uint32_t n;
    if (!session_answer(wave->g, datagram, &n))
        return;
    if (wave->g->sessions[n].step != wave->goal) {
        session_send(wave->g, n);
        return;
    }
    for (unsigned i = 0; i < wave->under_way_count; i++) {
        if (wave->under_way[i] == n) {
            wave->under_way[i] = wave->under_way[--wave->under_way_count];
            wave->result.done++;
            return;
        }
    }
}

static void retransmit(struct wave *wave)
{
    uint64_t now = now_ns();
    for (unsigned i = 0; i < wave->under_way_count; i++) {
        struct session *s = &wave->g->sessions[wave->under_way[i]];
        if (now - s->sent_at < RETRANSMIT_NS)
            continue;
        errno = 0;
        if (wave->result.retransmissions++ > TRIES_MAX * (wave->result.done + wave->under_way_count))
            fail("the server does not answer (session %u, step %d)", wave->under_way[i], s->step);
        session_send(wave->g, wave->under_way[i]);
    }
}

// Takes sessions begin..<end from `first` step to `goal`.
static struct control_result walk(struct generator *g, unsigned begin, unsigned end, unsigned window, enum step first,
                                  enum step goal)
{
    struct wave wave = {.g = g, .goal = goal, .under_way = calloc(window, sizeof(uint32_t))};
    if (!wave.under_way)
        fail("memory");
    uint64_t start = now_ns(), swept = start;
    for (uint32_t next = begin; wave.result.done < end - begin;) {
        for (; next < end && wave.under_way_count < window; next++) {
            g->sessions[next].step = first;
            wave.under_way[wave.under_way_count++] = next;
            session_send(g, next);
        }
        struct pollfd clients = {.fd = g->clients, .events = POLLIN};
        if (receive_batch(g->clients, on_answer, &wave) == 0)
            poll(&clients, 1, POLL_MS);
        if (now_ns() - swept > RETRANSMIT_NS / 4) {
            swept = now_ns();
            retransmit(&wave);
        }
    }
    wave.result.seconds = (now_ns() - start) / 1e9;
    free(wave.under_way);
    return wave.result;
}

struct control_result allocate_sessions(struct generator *g, unsigned count, unsigned window)
{
    for (uint32_t n = g->session_count; n < count; n++)
        g->sessions[n] = (struct session){.channel = CHANNEL_FIRST + n % CHANNEL_COUNT};
    unsigned begin = g->session_count;
    // A pair knows its peers when both have allocated.
    struct control_result result = walk(g, begin, count, window, STEP_CHALLENGE, g->pairs ? STEP_BIND : STEP_READY);
    if (g->pairs) {
        struct control_result bound = walk(g, begin, count, window, STEP_BIND, STEP_READY);
        result.seconds += bound.seconds;
        result.retransmissions += bound.retransmissions;
    }
    g->session_count = count;
    g->bound_at = now_ns();
    return result;
}

void assume_sessions(struct generator *g, unsigned count)
{
    for (uint32_t n = g->session_count; n < count; n++)
        g->sessions[n] = (struct session){.step = STEP_READY, .channel = CHANNEL_FIRST + n % CHANNEL_COUNT};
    g->session_count = count;
    g->bound_at = UINT64_MAX;
}

struct control_result rebind_sessions(struct generator *g, unsigned window)
{
    struct control_result result = walk(g, 0, g->session_count, window, STEP_BIND, STEP_READY);
    g->bound_at = now_ns();
    return result;
}

struct control_result release_sessions(struct generator *g, unsigned window)
{
    struct control_result result = walk(g, 0, g->session_count, window, STEP_RELEASE, STEP_NONE);
    g->session_count = 0;
    return result;
}
