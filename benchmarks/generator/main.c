// Reads commands from standard input, one a line, and answers each with one line of JSON:
//   allocate COUNT WINDOW                    authenticated Allocate and ChannelBind, until there are COUNT sessions
//   release WINDOW                           Refresh with lifetime 0 for every session
//   refresh                                  ChannelBind for every session, if the last one is two minutes ago
//   run up|down|both SESSIONS PAYLOAD SPREAD BURST RATE SECONDS
//                                            RATE datagrams a second of PAYLOAD to PAYLOAD + SPREAD - 1 bytes,
//                                            BURST of them to one session at a time
// and with the kernel half (--frames), all payloads without spread:
//   pair COUNT WINDOW                        as allocate, but sessions 2n and 2n + 1 are each other's peers
//   assume COUNT                             sessions without a server's knowledge, for one that echoes
//   frames up|down|both|pairs|echo SESSIONS PAYLOAD BURST RATE SECONDS STAMPS
//                                            as run, as single frames; RATE 0: as many as it can; STAMPS 1: latency
//   calls up|down|both SESSIONS PAYLOAD BURST PERIOD-US SECONDS
//                                            one burst a session, direction and period, each at a moment of its own
// Ends at the end of its input.
#include "frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t rebind_after_ns = 120 * 1000000000ull;   // permissions last 300 s, a run less than the rest
enum { REBIND_WINDOW = 64 };

static void print_control(const struct generator *g, const struct control_result *r)
{
    printf("{\"sessions\": %u, \"seconds\": %.6f, \"retransmissions\": %u, \"authenticated\": %s}\n", r->done,
           r->seconds, r->retransmissions, g->sessions[0].authenticated ? "true" : "false");
}

static void do_allocate(struct generator *g, unsigned count, unsigned window)
{
    if (count <= g->session_count || count > SESSIONS_MAX || window == 0)
        fail("allocate: more sessions than there are, at most %d", SESSIONS_MAX);
    struct control_result r = allocate_sessions(g, count, window);
    print_control(g, &r);
}

static void do_release(struct generator *g, unsigned window)
{
    struct control_result r = release_sessions(g, window);
    print_control(g, &r);
}

// Apart from the runs: what it costs the server belongs to no datagram.
static void do_refresh(struct generator *g)
{
    uint64_t now = now_ns();
    if (g->session_count > 0 && g->bound_at < now && now - g->bound_at > rebind_after_ns)
        rebind_sessions(g, REBIND_WINDOW);
    puts("{}");
}

static void do_run(struct generator *g, const char *direction, const struct shape *given)
{
    struct shape shape = *given;
    shape.up = strcmp(direction, "up") == 0 || strcmp(direction, "both") == 0;
    shape.down = strcmp(direction, "down") == 0 || strcmp(direction, "both") == 0;
    if ((!shape.up && !shape.down) || shape.sessions == 0 || shape.sessions > g->session_count ||
        shape.payload < PAYLOAD_MIN || shape.payload + shape.spread > PAYLOAD_MAX + 1 || shape.spread == 0 ||
        shape.burst == 0 || shape.burst > BURST_MAX || (shape.burst > 1 && shape.spread > 1))
        fail("run: a direction, at most the sessions allocated, %d to %d bytes, bursts of 1 to %d of one size",
             PAYLOAD_MIN, PAYLOAD_MAX, BURST_MAX);
    run_traffic(g, &shape);
}

// Which way and which directions a word means; false when none.
static bool parse_way(const char *word, struct frames_shape *shape)
{
    static const struct {
        const char *word;
        enum way way;
        unsigned directions;
    } known[] = {{"up", WAY_RELAY, 1}, {"down", WAY_RELAY, 2}, {"both", WAY_RELAY, 3},
                 {"pairs", WAY_PAIRS, 1}, {"echo", WAY_ECHO, 1}};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].word, word) == 0) {
            shape->way = known[i].way;
            shape->directions = known[i].directions;
            return true;
        }
    }
    return false;
}

static void do_frames(struct generator *g, const char *word, struct frames_shape *shape)
{
    if (!g->link)
        fail("frames: start with --frames");
    if (!parse_way(word, shape) || shape->sessions == 0 || shape->sessions > g->session_count ||
        shape->payload < sizeof(struct frames_head) || shape->payload % 4 != 0 ||
        shape->payload > sizeof(struct frames_head) + 4 * FRAMES_NOISE_WORDS || shape->burst == 0 ||
        (shape->way == WAY_PAIRS) != g->pairs || (g->pairs && shape->sessions % 2 != 0))
        fail("frames: a way, at most the sessions allocated (pairs by pairs), %zu to %zu bytes in fours, a burst",
             sizeof(struct frames_head), sizeof(struct frames_head) + 4 * FRAMES_NOISE_WORDS);
    run_frames(g, shape);
}

// Commands of the frames link; false when it is none of them.
static bool do_frames_command(struct generator *g, const char *line)
{
    unsigned count, window, period_us, stamps;
    char word[8];
    struct frames_shape shape = {0};
    if (sscanf(line, "pair %u %u", &count, &window) == 2 && count % 2 == 0) {
        g->pairs = true;
        do_allocate(g, count, window);
    } else if (sscanf(line, "assume %u", &count) == 1 && count <= SESSIONS_MAX) {
        assume_sessions(g, count);
        puts("{}");
    } else if (sscanf(line, "frames %7s %u %zu %u %lf %lf %u", word, &shape.sessions, &shape.payload, &shape.burst,
                      &shape.rate, &shape.seconds, &stamps) == 7) {
        shape.stamps = stamps != 0;
        do_frames(g, word, &shape);
    } else if (sscanf(line, "calls %7s %u %zu %u %u %lf", word, &shape.sessions, &shape.payload, &shape.burst,
                      &period_us, &shape.seconds) == 6) {
        shape.stamps = true;
        shape.period_ns = period_us * 1000ull;
        do_frames(g, word, &shape);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct generator g = {.options = parse_options(argc, argv)};
    g.sessions = calloc(SESSIONS_MAX, sizeof *g.sessions);
    if (!g.sessions)
        fail("memory");
    open_endpoints(&g);
    if (g.options.object)
        link_open(&g);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (char line[256]; fgets(line, sizeof line, stdin);) {
        unsigned count, window;
        char direction[8];
        struct shape shape = {0};
        errno = 0;
        if (sscanf(line, "allocate %u %u", &count, &window) == 2)
            do_allocate(&g, count, window);
        else if (sscanf(line, "release %u", &window) == 1)
            do_release(&g, window);
        else if (strcmp(line, "refresh\n") == 0)
            do_refresh(&g);
        else if (sscanf(line, "run %7s %u %zu %u %u %lf %lf", direction, &shape.sessions, &shape.payload,
                        &shape.spread, &shape.burst, &shape.rate, &shape.seconds) == 7)
            do_run(&g, direction, &shape);
        else if (!do_frames_command(&g, line))
            fail("unknown command: %s", line);
    }
}
