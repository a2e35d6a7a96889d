// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// The one rewrite: headers before a payload that stays where it is, from what arrived (`struct datagram`) to what an
/// entry says. Twelve paths, one description.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "parse.h"

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
    struct mac ethernet_destination;
    struct mac ethernet_source;
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

static __always_inline void write_ipv4(struct iphdr *ip, const struct datagram *in, const struct departure *out) {
    *(__be16 *)ip = bpf_htons(0x4500 | in->traffic_class);
    ip->tot_len = bpf_htons(out->ip_length);
    ip->ttl = in->ttl - 1;
    ip->protocol = IPPROTO_UDP;
    ip->saddr = out->to->out_source4;
    ip->daddr = out->to->out_destination4;
    if (in->version == 4) {
        ip->id = in->identification;
        ip->frag_off = in->fragment;
        ip->check = update_checksum(in->ip_checksum, out->ip_delta);
        return;
    }
    // RFC 7915 section 5.1. Identifiers need not be in order, only seldom the same: the checksum serves.
    ip->id = out->ip_length > RELAY_LARGEST_WITHOUT_DF ? 0 : out->udp_checksum;
    ip->frag_off = out->ip_length > RELAY_LARGEST_WITHOUT_DF ? bpf_htons(0x4000) : 0;
    ip->check = 0;
    __u32 sum = 0;
    const __u16 *words = (const __u16 *)ip;
#pragma unroll
    for (int i = 0; i < 10; i++) sum += words[i];
    ip->check = ~fold(sum);
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, const struct datagram *in, const struct departure *out) {
    *(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)in->traffic_class << 20) | out->to->flow_label;
    ip->payload_len = bpf_htons(out->udp_length);
    ip->nexthdr = IPPROTO_UDP;
    ip->hop_limit = in->ttl - 1;
    __builtin_memcpy(&ip->saddr, out->addresses->out_source, sizeof ip->saddr);
    __builtin_memcpy(&ip->daddr, out->addresses->out_destination, sizeof ip->daddr);
}

/// Writes all headers at the start of a frame that has its new size. 0, or -1 where the frame is too short.
static __always_inline int write_headers(
    void *start, void *end, const struct datagram *in, const struct departure *out) {
    struct ethhdr *ethernet = start;
    if ((void *)(ethernet + 1) > end) return -1;
    *(struct mac *)ethernet->h_dest = out->ethernet_destination;
    *(struct mac *)ethernet->h_source = out->ethernet_source;
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
    udp->source = out->to->out_source_port;
    udp->dest = out->to->out_destination_port;
    udp->len = bpf_htons(out->udp_length);
    udp->check = out->udp_checksum;
    if (out->to->out_channel) {
        struct channel_header *header = (void *)(udp + 1);
        if ((void *)(header + 1) > end) return -1;
        header->number = out->to->out_channel;
        header->length = bpf_htons(in->payload_length);
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
