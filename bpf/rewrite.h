// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// The one rewrite: headers before a payload that stays where it is, from what arrived (`struct datagram`) to what an
/// entry says. Twelve paths, one description.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "parse.h"

/// Both MAC addresses as they begin a frame, the destination first.
struct macs {
    __u64 first;
    __u32 last;
};

/// Everything that is decided about a datagram before the first byte is written.
struct departure {
    /// IPv4 addresses, ports, channel and flow label.
    const struct relay_entry *to;
    /// IPv6 addresses, where IPv6 leaves.
    const struct relay_addresses *addresses;
    /// Bytes of the IP packet, and of UDP header and data.
    __u32 ip_length;
    __u32 udp_length;
    __u16 udp_checksum;
    /// How the sum under the IPv4 header's checksum changes; for IPv4 to IPv4.
    __u32 ip_delta;
    /// XDP_TX or XDP_REDIRECT.
    int action;
    struct macs macs;
};

/// The bytes before the payload.
static __always_inline __u32 header_length(__u8 version, __u16 channel) {
    return ETH_HLEN + (version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + sizeof(struct udphdr) +
           (channel ? sizeof(struct channel_header) : 0);
}

/// The UDP checksum that leaves, from the one that came. `delta` is what the entries say about addresses, ports and
/// channel numbers; lengths and padding are added here.
static __always_inline __u16 depart_checksum(const struct datagram *in, const struct departure *out, __u32 delta) {
    // No checksum stays none: IPv4 to IPv4, the only case that comes here with none.
    if (in->udp_checksum == 0) return 0;
    __u16 length_before = ~bpf_htons(in->udp_length), length_after = bpf_htons(out->udp_length);
    // The length stands in the header and in the pseudo-header.
    delta += 2 * ((__u32)length_before + length_after);
    if (in->channel) delta += (__u16)~bpf_htons(in->payload_length);
    if (out->to->out_channel) delta += (__u16)bpf_htons(in->payload_length);
    delta += (__u16)~fold(in->padding_sum);
    __u16 checksum = update_checksum(in->udp_checksum, delta);
    return checksum ? checksum : 0xFFFF;
}

/// Time to live, protocol, checksum and addresses.
static __always_inline void write_ipv4_tail(
    struct iphdr *ip, const struct datagram *in, const struct relay_entry *to, __u16 checksum) {
    __u32 head = (__u8)(in->ttl - 1) | IPPROTO_UDP << 8 | (__u32)checksum << 16;
    store64(&ip->ttl, head | (__u64)to->out_source4 << 32);
    ip->daddr = to->out_destination4;
}

static __always_inline void write_ipv4(struct iphdr *ip, const struct datagram *in, const struct departure *out) {
    __u64 length = (__u64)bpf_htons(out->ip_length) << 16;
    if (in->version == 4) {
        store64(ip, (in->ip_word & ~0xFFFF0000ull) | length);
        write_ipv4_tail(ip, in, out->to, update_checksum(in->ip_checksum, out->ip_delta));
        return;
    }
    // RFC 7915 section 5.1. Identifiers need not be in order, only seldom the same: the checksum serves.
    __u64 fragment = out->ip_length > RELAY_LARGEST_WITHOUT_DF ? (__u64)bpf_htons(0x4000) << 48
                                                               : (__u64)out->udp_checksum << 32;
    store64(ip, 0x45 | (__u64)in->traffic_class << 8 | length | fragment);
    write_ipv4_tail(ip, in, out->to, 0);
    __u32 sum = 0;
    const __u16 *words = (const __u16 *)ip;
#pragma unroll
    for (int i = 0; i < 10; i++) sum += words[i];
    ip->check = ~fold(sum);
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, const struct datagram *in, const struct departure *out) {
    __u32 head = bpf_htonl(6u << 28 | (__u32)in->traffic_class << 20) | out->to->flow_label;
    __u32 tail = bpf_htons(out->udp_length) | IPPROTO_UDP << 16 | (__u32)(__u8)(in->ttl - 1) << 24;
    store64(ip, head | (__u64)tail << 32);
    store64(&ip->saddr, out->addresses->out_source[0]);
    store64((void *)&ip->saddr + 8, out->addresses->out_source[1]);
    store64(&ip->daddr, out->addresses->out_destination[0]);
    store64((void *)&ip->daddr + 8, out->addresses->out_destination[1]);
}

/// Writes all headers at the start of a frame that has its new size. 0, or -1 where the frame is too short.
static __always_inline int write_headers(
    void *start, void *end, const struct datagram *in, const struct departure *out) {
    struct ethhdr *ethernet = start;
    if ((void *)(ethernet + 1) > end) return -1;
    store64(ethernet, out->macs.first);
    store32((void *)ethernet + 8, out->macs.last);
    struct udphdr *udp;
    if (out->to->out_version == 4) {
        struct iphdr *ip = (void *)(ethernet + 1);
        if ((void *)(ip + 1) > end) return -1;
        ethernet->h_proto = bpf_htons(ETH_P_IP);
        write_ipv4(ip, in, out);
        udp = (void *)(ip + 1);
    } else {
        struct ipv6hdr *ip = (void *)(ethernet + 1);
        if ((void *)(ip + 1) > end || !out->addresses) return -1;
        ethernet->h_proto = bpf_htons(ETH_P_IPV6);
        write_ipv6(ip, in, out);
        udp = (void *)(ip + 1);
    }
    if ((void *)(udp + 1) > end) return -1;
    store64(udp, load32(&out->to->out_source_port) | (__u64)bpf_htons(out->udp_length) << 32 |
                     (__u64)out->udp_checksum << 48);
    if (out->to->out_channel) {
        struct channel_header *header = (void *)(udp + 1);
        if ((void *)(header + 1) > end) return -1;
        store32(header, out->to->out_channel | (__u32)bpf_htons(in->payload_length) << 16);
    }
    return 0;
}

/// Moves the start of the frame, writes the headers, cuts off what lies behind the packet.
static __always_inline int rewrite(struct xdp_md *ctx, const struct datagram *in, const struct departure *out) {
    int growth = (int)header_length(out->to->out_version, out->to->out_channel) -
                 (int)header_length(in->version, in->channel);
    // All that is needed of the old headers is in `in`, so the start may move first whichever way it goes.
    if (growth && bpf_xdp_adjust_head(ctx, -growth)) return RELAY_PASS_NO_HEADROOM;
    if (write_headers((void *)(long)ctx->data, (void *)(long)ctx->data_end, in, out)) return RELAY_DROP_REWRITE;
    int excess = (int)in->frame_length + growth - (int)(ETH_HLEN + out->ip_length);
    if (excess && bpf_xdp_adjust_tail(ctx, -excess)) return RELAY_DROP_REWRITE;
    return 0;
}
