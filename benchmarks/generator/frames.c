// One run of traffic over the frames link.
#include "frames.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PUSH = 1 << 14,             // live frames a system call, most of them not due below the largest rate
    QUIET_US = 50000,           // after this long without an arrival nothing more is expected
    TAIL_US = 10000000,         // and in no case is it waited longer
    START_NS = 1000000,         // from settings to the first datagram
};

static struct frames_tally total(const struct link *link)
{
    const struct frames_tally *a = &link->tallies[UP], *b = &link->tallies[DOWN];
    __sync_synchronize();
    return (struct frames_tally){a->received + b->received,   a->corrupted + b->corrupted,
                                 a->misdelivered + b->misdelivered, a->reordered + b->reordered,
                                 a->stale + b->stale,         a->compared + b->compared};
}

static void await_tail(const struct link *link)
{
    uint64_t seen = total(link).received;
    for (unsigned waited = 0; waited < TAIL_US; waited += QUIET_US) {
        usleep(QUIET_US);
        uint64_t now = total(link).received;
        if (now == seen)
            return;
        seen = now;
    }
}

static size_t write_frame(const struct link *link, const struct frames_shape *shape, uint8_t *frame)
{
    size_t headers = FRAMES_HEADERS_BYTES + (shape->directions == 1u << DOWN ? 0 : CHANNEL_HEADER_BYTES);
    memset(frame, 0, headers + sizeof(struct frames_head));
    memcpy(frame + headers + sizeof(struct frames_head), link->noise, shape->payload - sizeof(struct frames_head));
    return headers + shape->payload;
}

static void begin(struct generator *g, const struct frames_shape *shape)
{
    struct link *link = g->link;
    g->run++;
    memset(link->tallies, 0, 2 * sizeof *link->tallies);
    memset(link->histograms, 0, 2 * FRAMES_BUCKETS * sizeof *link->histograms);
    *link->settings = (struct frames_settings){
        .run = g->run, .sessions = shape->sessions, .payload = shape->payload, .burst = shape->burst,
        .directions = shape->directions, .client_direction = shape->way == WAY_RELAY ? DOWN : UP,
        .interval = shape->rate > 0 ? 65536e9 / shape->rate : 0, .stamps = shape->stamps,
        .interfaces = {link->interfaces[UP], link->interfaces[DOWN]}};
    prepare_sessions(g, shape);
    if (shape->period_ns)
        prepare_schedule(g, shape);
    *link->progress = (struct frames_progress){.direction = shape->directions == 1u << DOWN ? DOWN : UP};
    link->settings->start_ns = now_ns() + START_NS;
    link->settings->end_ns = link->settings->start_ns + shape->seconds * 1e9;
    __sync_synchronize();
}

static void print_percentile(const char *name, double us)
{
    if (us < 0)
        printf(", \"%s\": null", name);
    else
        printf(", \"%s\": %.2f", name, us);
}

void run_frames(struct generator *g, const struct frames_shape *shape)
{
    struct link *link = g->link;
    uint8_t frame[FRAMES_HEADERS_BYTES + CHANNEL_HEADER_BYTES + PAYLOAD_MAX];
    size_t length = write_frame(link, shape, frame);
    begin(g, shape);
    while (now_ns() < link->settings->end_ns)
        link_push(link, frame, length, PUSH);
    double seconds = (now_ns() - link->settings->start_ns) / 1e9;
    uint64_t in_time = total(link).received;
    usleep(GRACE_US);
    uint64_t with_grace = total(link).received;
    await_tail(link);
    struct frames_tally t = total(link);
    uint64_t offered = link->progress->offered;
    // A call waits for what was lost, too.
    struct percentiles p = histogram_read(link->histograms, link->histograms + FRAMES_BUCKETS,
                                          shape->period_ns ? offered : 0);
    printf("{\"seconds\": %.6f, \"offered\": %lu, \"sent\": %lu, \"received\": %lu, \"received_in_time\": %lu, "
           "\"received_with_grace\": %lu, \"corrupted\": %llu, \"misdelivered\": %llu, \"reordered\": %llu, \"stale\": %llu, \"unexpected\": 0, "
           "\"sink_dropped\": 0, \"compared\": %llu, \"latency_us\": {\"count\": %lu",
           seconds, offered, offered, (uint64_t)t.received, in_time, with_grace, t.corrupted, t.misdelivered,
           t.reordered, t.stale, t.compared, p.count);
    print_percentile("p50", p.p50_us);
    print_percentile("p99", p.p99_us);
    print_percentile("p999", p.p999_us);
    print_percentile("max", p.max_us);
    puts("}}");
}
