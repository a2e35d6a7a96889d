// Traffic as single frames without sockets: the kernel half sends and counts, this half prepares and reports.
#pragma once

#include "generator.h"

#include "../frames/layout.h"

enum {
    LINK_BATCH = 16,            // frames handed to the link at once
};

// The maps of the kernel half, shared memory all of them.
struct link {
    struct frames_settings *settings;
    struct frames_progress *progress;
    struct frames_appointment *schedule;
    struct frames_template *templates;          // by session * 2 + direction, as the next
    struct frames_expectation *expectations;
    struct frames_tally *tallies;               // by direction
    uint64_t *histograms;                       // by direction, FRAMES_BUCKETS each
    uint32_t *noise;
    int generate;                               // descriptor of the program
    unsigned interfaces[2];                     // by direction
};

// Sends `count` live frames, of which the program drops those that are not due.
void link_push(struct link *link, const void *frame, size_t length, unsigned count);

// histogram.c
struct percentiles {
    double p50_us, p99_us, p999_us, max_us;
    uint64_t count;
};
// offered: of how many the percentiles are, when that is more than arrived; what is lost is later than all others, and a
// percentile among those is -1.
struct percentiles histogram_read(const uint64_t *up, const uint64_t *down, uint64_t offered);

// prepare.c: what is written before a run.
void prepare_sessions(struct generator *g, const struct frames_shape *shape);
// The schedule of calls: each session sends at its own moment of every period.
void prepare_schedule(struct generator *g, const struct frames_shape *shape);
