// Counts heap allocations of the whole program, and the retains and releases that its own code does (not those
// inside of the Swift standard library).
#pragma once

#include <stdint.h>

struct counters {
    uint64_t allocations;   // malloc, calloc, realloc, posix_memalign, aligned_alloc
    uint64_t frees;
    uint64_t retains;
    uint64_t releases;
};

struct counters counters_now(void);
// Nanoseconds of the calling thread's CPU time.
uint64_t counters_thread_ns(void);
