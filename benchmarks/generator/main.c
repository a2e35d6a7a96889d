// Reads commands from standard input, one a line, and answers each with one line of JSON:
//   allocate COUNT WINDOW                    authenticated Allocate and ChannelBind, until there are COUNT sessions
//   release WINDOW                           Refresh with lifetime 0 for every session
//   run up|down|both SESSIONS PAYLOAD SPREAD BURST RATE SECONDS
//                                            RATE datagrams a second of PAYLOAD to PAYLOAD + SPREAD - 1 bytes,
//                                            BURST of them to one session at a time
// Ends at the end of its input.
#include "generator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t rebind_after_ns = 120 * 1000000000ull;   // permissions last 300 s
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
    if (now_ns() - g->bound_at > rebind_after_ns)
        rebind_sessions(g, REBIND_WINDOW);
    run_traffic(g, &shape);
}

int main(int argc, char **argv)
{
    struct generator g = {.options = parse_options(argc, argv)};
    g.sessions = calloc(SESSIONS_MAX, sizeof *g.sessions);
    if (!g.sessions)
        fail("memory");
    open_endpoints(&g);
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
        else if (sscanf(line, "run %7s %u %zu %u %u %lf %lf", direction, &shape.sessions, &shape.payload,
                        &shape.spread, &shape.burst, &shape.rate, &shape.seconds) == 7)
            do_run(&g, direction, &shape);
        else
            fail("unknown command: %s", line);
    }
}
