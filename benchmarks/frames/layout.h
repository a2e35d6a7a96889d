// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the generator and its two kernel programs share: settings, prebuilt headers, expectations and counts.
#pragma once

#include <linux/types.h>

enum {
    FRAMES_SESSIONS_MAX = 16000,
    FRAMES_SCHEDULE_MAX = 2 * FRAMES_SESSIONS_MAX,
    FRAMES_NOISE_WORDS = 300,      // payloads of at most 1224 bytes
    FRAMES_CLIENT_PORT = 20000,
    FRAMES_PEER_PORT = 30000,
    FRAMES_CHANNEL_BYTES = 4,
    FRAMES_UDP_OFFSET = 14 + 20,
    FRAMES_HEADERS_BYTES = FRAMES_UDP_OFFSET + 8,   // before the payload of plain UDP
    FRAMES_SAMPLE_MASK = 15,                        // one datagram of sixteen is compared to its last byte
    // The histogram: exact below 64 ns, then 32 buckets an octave, which is 3 %; up to 2^36 ns.
    FRAMES_OCTAVE_BITS = 5,
    FRAMES_BUCKETS = (36 - FRAMES_OCTAVE_BITS + 1) << FRAMES_OCTAVE_BITS,
};

// What begins every payload, in host order; noise follows, the same in every payload.
struct frames_head {
    __u32 run, session, sequence, check;
    __u64 sent_ns;                  // CLOCK_MONOTONIC; 0: not taken
};

// One run of traffic.
struct frames_settings {
    __u32 run, sessions, payload, burst;
    __u32 directions;               // bits: 1 for up, 2 for down
    __u32 client_direction;         // of what arrives at clients: 1, or 0 where clients receive what clients sent
    __u64 start_ns, end_ns;
    __u64 interval;                 // between datagrams, in 2^-16 ns; 0: as fast as it goes
    __u64 period_ns;                // of the schedule
    __u32 schedule_entries;         // 0: every session in turn
    __u32 stamps;                   // whether datagrams carry the time
    __u32 interfaces[2];            // by direction: where frames leave
};

// A session sends one burst, so long after the beginning of each period.
struct frames_appointment {
    __u32 offset_ns;
    __u16 session;
    __u16 direction;
};

// Where the generator is.
struct frames_progress {
    __u64 offered;
    __u64 cycle;
    __u32 turn;                     // session, or entry of the schedule
    __u32 direction;
    __u32 burst_left;
    __u32 session;
};

// One direction of a session: the frame up to its payload, and the sum under its UDP checksum without sequence, check
// and time.
struct frames_template {
    __u8 headers[48];
    __u32 sum;
    __u32 sequence;
    __u32 reserved[2];
};

// How it has to arrive: in network order.
struct frames_expectation {
    __be32 source, destination;
    __be16 source_port, channel;    // channel 0: plain UDP
    __u32 next_sequence;
};

// What became of the datagrams of one direction.
struct frames_tally {
    __u64 received, corrupted, misdelivered, reordered, stale, compared;
};

// Binds run, session, sequence and direction together.
static inline __u32 frames_check(__u32 run, __u32 session, __u32 sequence, __u32 direction)
{
    __u32 h = run * 0x9E3779B1u ^ session * 0x85EBCA77u ^ sequence * 0xC2B2AE3Du ^ direction * 0x27D4EB2Fu;
    return h ^ h >> 15;
}

_Static_assert(sizeof(struct frames_head) == 24, "in the payload");
_Static_assert(sizeof(struct frames_template) == 64, "one cache line");
