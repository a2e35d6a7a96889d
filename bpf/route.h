// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// From a datagram to the entry that takes it, and to the frame's next hop.
#pragma once

#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "rewrite.h"

#define AF_INET 2
#define AF_INET6 10

/// The entry whose key these values are.
static __always_inline struct relay_entry *find4(
    const struct relay_settings *settings, __u64 addresses, __u64 ports) {
    __u32 first = relay_hash4(addresses, ports, settings->hash_seed);
    for (__u32 probe = 0; probe < RELAY_PROBES; probe++) {
        __u32 slot = (first + probe) & settings->slot_mask;
        struct relay_entry *entry = bpf_map_lookup_elem(&relay_entries, &slot);
        if (!entry || entry->state == RELAY_SLOT_EMPTY) return 0;
        if (*(__u64 *)&entry->in_source_port == ports && *(__u64 *)&entry->in_source4 == addresses &&
            entry->state == RELAY_SLOT_LIVE) {
            return entry;
        }
    }
    return 0;
}

static __always_inline struct relay_entry *find6(
    const struct relay_settings *settings, const __be64 *source, const __be64 *destination, __u64 ports) {
    __u32 first =
        relay_hash6(source[0], source[1], destination[0], destination[1], ports, settings->hash_seed);
    for (__u32 probe = 0; probe < RELAY_PROBES; probe++) {
        __u32 slot = (first + probe) & settings->slot_mask;
        struct relay_entry *entry = bpf_map_lookup_elem(&relay_entries, &slot);
        if (!entry || entry->state == RELAY_SLOT_EMPTY) return 0;
        if (*(__u64 *)&entry->in_source_port == ports && entry->in_source6[0] == source[0] &&
            entry->in_source6[1] == source[1] && entry->in_destination6[0] == destination[0] &&
            entry->in_destination6[1] == destination[1] && entry->state == RELAY_SLOT_LIVE) {
            return entry;
        }
    }
    return 0;
}

static __always_inline int is_over(const struct relay_entry *entry) {
    return (__u32)(bpf_jiffies64() >> RELAY_LEASE_SHIFT) >= entry->lease;
}

/// The entry that takes what `entry` would send to a relayed address of this relay: as if it had come from there.
static __always_inline struct relay_entry *find_hairpin(
    const struct relay_settings *settings, const struct relay_entry *entry) {
    __u64 ports = entry->out_source_port | (__u64)entry->out_destination_port << 16 |
                  (__u64)entry->out_version << 48;
    if (entry->out_version == 4) return find4(settings, *(__u64 *)&entry->out_source4, ports);
    return find6(settings, entry->out_source6, entry->out_destination6, ports);
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
        fib.flowinfo = to->flow_label;
        __builtin_memcpy(fib.ipv6_src, to->out_source6, sizeof fib.ipv6_src);
        __builtin_memcpy(fib.ipv6_dst, to->out_destination6, sizeof fib.ipv6_dst);
    }
    long result = bpf_fib_lookup(ctx, &fib, sizeof fib, 0);
    if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) return RELAY_PASS_TOO_BIG;
    if (result != BPF_FIB_LKUP_RET_SUCCESS) return RELAY_PASS_NO_NEXT_HOP;
    out->ethernet_destination = *(struct mac *)fib.dmac;
    out->ethernet_source = *(struct mac *)fib.smac;
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
        out->ethernet_destination = *(struct mac *)hop->destination;
        out->ethernet_source = *(struct mac *)hop->source;
        interface_index = hop->interface_index;
    } else if (settings->flags & RELAY_SWAP_NEXT_HOP) {
        if (out->ip_length > settings->swap_mtu) return RELAY_PASS_TOO_BIG;
        out->ethernet_destination = in->ethernet_source;
        out->ethernet_source = in->ethernet_destination;
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
