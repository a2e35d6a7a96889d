// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// How fast routes may carry: the buckets of their meters, by the generic cell rate algorithm (ITU-T I.371).
///
/// Nothing is locked. A bucket changes by compare-and-swap, so what it took is exact on all CPUs. A datagram that a later
/// bucket refuses is given back to the earlier ones, which leaves them as if it had never come; only another CPU's
/// datagram that looks in between may be refused for it.
#pragma once

#include <bpf/bpf_helpers.h>

#include "maps.h"

/// How often a bucket is tried that other CPUs change meanwhile.
#define METER_TRIES 8

static __always_inline __u64 time_of(const struct relay_bucket *bucket, __u32 amount) {
    return amount * bucket->interval >> RELAY_INTERVAL_SHIFT;
}

/// Takes `amount` bytes or datagrams from a bucket: 1, or 0 where it has no room for them. A function of its own: the
/// verifier looks at it once.
__noinline int relay_take(struct relay_bucket *bucket, __u32 amount, __u64 now) {
    if (!bucket) return 0;
    if (!bucket->interval) return 1;
    __u64 increment = time_of(bucket, amount), until = *(volatile __u64 *)&bucket->until;
    for (int i = 0; i < METER_TRIES; i++) {
        __u64 ahead = (__s64)(until - now) > 0 ? until - now : 0;
        if (ahead + increment > bucket->burst) return 0;
        __u64 found = __sync_val_compare_and_swap(&bucket->until, until, now + ahead + increment);
        if (found == until) return 1;
        until = found;
    }
    // Others were faster each time, so it is no older than now: it is counted, and may stand above its burst by this.
    __sync_fetch_and_add(&bucket->until, increment);
    return 1;
}

static __always_inline void give_back(struct relay_bucket *bucket, __u32 amount) {
    if (bucket->interval) __sync_fetch_and_add(&bucket->until, -time_of(bucket, amount));
}

static __always_inline int take_from_meter(struct relay_meter *meter, __u32 bytes, __u64 now) {
    if (!relay_take(&meter->bytes, bytes, now)) return 0;
    if (relay_take(&meter->packets, 1, now)) return 1;
    give_back(&meter->bytes, bytes);
    return 0;
}

static __always_inline void give_back_to_meter(struct relay_meter *meter, __u32 bytes) {
    give_back(&meter->bytes, bytes);
    give_back(&meter->packets, 1);
}

/// The meters that hold one direction of a route.
struct meters {
    struct relay_meter *own;
    struct relay_meter *shared;
};

/// Takes a datagram from a meter and from the one that it is chained to, or from neither.
static __always_inline int take_from_chain(__u32 index, __u32 bytes, __u64 now, struct meters *taken) {
    if (index == RELAY_NO_METER) return 1;
    struct relay_meter *own = bpf_map_lookup_elem(&relay_meters, &index);
    if (!own || !take_from_meter(own, bytes, now)) return 0;
    taken->own = own;
    __u32 next = own->next;
    if (next == RELAY_NO_METER) return 1;
    struct relay_meter *shared = bpf_map_lookup_elem(&relay_meters, &next);
    if (shared && take_from_meter(shared, bytes, now)) {
        taken->shared = shared;
        return 1;
    }
    give_back_to_meter(own, bytes);
    return 0;
}

/// Counts a datagram in all meters of the direction that brought it in, and of the other route's that takes it out
/// again where that is a hairpin: 1; or in none and 0 where one of them has no room.
__noinline int relay_meter_datagram(__u32 in_index, __u32 out_index, __u32 bytes) {
    struct meters in = {}, out = {};
    __u64 now = bpf_ktime_get_coarse_ns();
    if (!take_from_chain(in_index, bytes, now, &in)) return 0;
    if (take_from_chain(out_index, bytes, now, &out)) return 1;
    if (in.own) give_back_to_meter(in.own, bytes);
    if (in.shared) give_back_to_meter(in.shared, bytes);
    return 0;
}
