// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// From a datagram to the entry that takes it, and to the frame's next hop.
#pragma once

#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "rewrite.h"

#define AF_INET 2
#define AF_INET6 10

/// An entry and the number of its slot.
struct found {
    struct relay_entry *entry;
    __u32 slot;
};

/// 0, which no compiler and no processor knows before it has the word. Added to an address, it has what is read there
/// read after the word: by the compiler because it cannot look inside, by processors that reorder loads (ARM64) because
/// the address depends on the word.
static __always_inline __u64 zero_after(__u64 word) {
    asm volatile("%0 &= 0" : "+r"(word));
    return word;
}

/// The live entry whose key these words are; without one `entry` is 0.
///
/// The state is read once, and all else of the slot after it. So who finds an entry live sees everything that was written
/// before it was published: key, departure and addresses of one and the same entry.
static __always_inline struct found find(
    const struct relay_settings *settings, __u64 word, __u64 ports, __u32 first) {
    struct found none = {};
    for (__u32 probe = 0; probe < RELAY_PROBES; probe++) {
        __u32 slot = (first + probe) & settings->slot_mask;
        struct relay_entry *entry = bpf_map_lookup_elem(&relay_entries, &slot);
        if (!entry) return none;
        __u32 state = *(volatile __u32 *)&entry->state;
        // Before the comparisons: behind them the compiler knows the state, and would put its number here.
        __u64 zero = zero_after(state);
        if (state == RELAY_SLOT_EMPTY) return none;
        if (state != RELAY_SLOT_LIVE) continue;
        entry = (void *)entry + zero;
        if (*(__u64 *)&entry->in_source_port == ports && *(__u64 *)&entry->in_source4 == word) {
            return (struct found){entry, slot + zero};
        }
    }
    return none;
}

/// The IPv6 addresses of the entry in a slot.
static __always_inline const struct relay_addresses *addresses_of(
    const struct relay_settings *settings, __u32 slot) {
    __u32 index = slot + settings->slot_mask + 1;
    return bpf_map_lookup_elem(&relay_entries, &index);
}

static __always_inline struct found find4(
    const struct relay_settings *settings, __u64 addresses, __u64 ports) {
    return find(settings, addresses, ports, relay_hash4(addresses, ports, settings->hash_seed));
}

static __always_inline struct found find6(
    const struct relay_settings *settings, const __be64 *source, const __be64 *destination, __u64 ports) {
    __u64 digest = relay_digest6(source[0], source[1], destination[0], destination[1], settings->hash_seed);
    struct found found = find(settings, digest, ports, relay_hash6(digest, ports));
    if (!found.entry) return found;
    // Of two entries with the same digest and ports, if there ever are, one is left to the slow path.
    const struct relay_addresses *key = addresses_of(settings, found.slot);
    if (!key || key->in_source[0] != source[0] || key->in_source[1] != source[1] ||
        key->in_destination[0] != destination[0] || key->in_destination[1] != destination[1]) {
        found.entry = 0;
    }
    return found;
}

static __always_inline int is_over(const struct relay_entry *entry) {
    return (__u32)(bpf_jiffies64() >> RELAY_LEASE_SHIFT) >= entry->lease;
}

/// The entry that takes what an entry would send to a relayed address of this relay: as if it had come from there.
static __always_inline struct found find_hairpin(const struct relay_settings *settings, const struct found *found) {
    const struct relay_entry *entry = found->entry;
    __u64 ports = entry->out_source_port | (__u64)entry->out_destination_port << 16 |
                  (__u64)entry->out_version << 48;
    if (entry->out_version == 4) return find4(settings, *(__u64 *)&entry->out_source4, ports);
    const struct relay_addresses *addresses = addresses_of(settings, found->slot);
    if (!addresses) return (struct found){};
    return find6(settings, addresses->out_source, addresses->out_destination, ports);
}

/// The MAC addresses of two places as one.
static __always_inline struct macs join(const __u8 *destination, const __u8 *source) {
    const __u16 *to = (const __u16 *)destination, *from = (const __u16 *)source;
    return (struct macs){
        .first = to[0] | (__u64)to[1] << 16 | (__u64)to[2] << 32 | (__u64)from[0] << 48,
        .last = from[1] | (__u32)from[2] << 16,
    };
}

/// Where the packet leaves, from the kernel's tables: 0, or the reason to pass it.
static __always_inline int look_up_next_hop(
    struct xdp_md *ctx, const struct datagram *in, struct departure *out, __u32 *interface_index) {
    const struct relay_entry *to = out->to;
    struct bpf_fib_lookup fib = {
        .l4_protocol = IPPROTO_UDP,
        .sport = to->out_source_port,
        .dport = to->out_destination_port,
        .tot_len = out->ip_length,
        .ifindex = ctx->ingress_ifindex,
    };
    if (to->out_version == 4) {
        fib.family = AF_INET;
        fib.tos = in->traffic_class;
        fib.ipv4_src = to->out_source4;
        fib.ipv4_dst = to->out_destination4;
    } else {
        fib.family = AF_INET6;
        fib.flowinfo = to->flow_label | bpf_htonl((__u32)in->traffic_class << 20);
        if (!out->addresses) return RELAY_PASS_NO_NEXT_HOP;
        __builtin_memcpy(fib.ipv6_src, out->addresses->out_source, sizeof fib.ipv6_src);
        __builtin_memcpy(fib.ipv6_dst, out->addresses->out_destination, sizeof fib.ipv6_dst);
    }
    long result = bpf_fib_lookup(ctx, &fib, sizeof fib, 0);
    if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) return RELAY_PASS_TOO_BIG;
    if (result != BPF_FIB_LKUP_RET_SUCCESS) return RELAY_PASS_NO_NEXT_HOP;
    out->macs = join(fib.dmac, fib.smac);
    *interface_index = fib.ifindex;
    return 0;
}

/// The frame's next hop and what to do with it: 0, or the reason to pass it.
static __always_inline int find_next_hop(
    struct xdp_md *ctx, const struct relay_settings *settings, const struct datagram *in, struct departure *out) {
    __u32 interface_index = ctx->ingress_ifindex;
    __u32 index = out->to->next_hop;
    if (index != RELAY_NO_NEXT_HOP) {
        const struct relay_next_hop *hop = bpf_map_lookup_elem(&relay_next_hops, &index);
        if (!hop) return RELAY_PASS_NO_NEXT_HOP;
        if (out->ip_length > hop->mtu) return RELAY_PASS_TOO_BIG;
        out->macs.first = load64(hop->destination);
        out->macs.last = load32(hop->source + 2);
        interface_index = hop->interface_index;
    } else if (settings->flags & RELAY_SWAP_NEXT_HOP) {
        if (out->ip_length > settings->swap_mtu) return RELAY_PASS_TOO_BIG;
        const struct ethhdr *ethernet = (void *)(long)ctx->data;
        if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end) return RELAY_PASS_NOT_IP;
        out->macs = join(ethernet->h_source, ethernet->h_dest);
    } else if (settings->flags & RELAY_FIB_NEXT_HOP) {
        int reason = look_up_next_hop(ctx, in, out, &interface_index);
        if (reason) return reason;
    } else {
        return RELAY_PASS_NO_NEXT_HOP;
    }
    if (interface_index == ctx->ingress_ifindex && !(settings->flags & RELAY_ALWAYS_REDIRECT)) {
        out->action = XDP_TX;
        return 0;
    }
    out->action = bpf_redirect_map(&relay_devices, interface_index, XDP_PASS);
    return out->action == XDP_REDIRECT ? 0 : RELAY_PASS_NO_NEXT_HOP;
}
