// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// From a frame to the few values that the rest of the program works with. Reads only.
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "CRelayABI.h"
#include "checksum.h"

struct channel_header {
    __be16 number;
    __be16 length;
};

// Headers are read and written by words of up to eight bytes, at any address: the machines that this runs on allow it,
// and it is half the instructions. The first field is in the lowest bits.

static __always_inline __u64 load64(const void *at) { return *(const __u64 *)at; }
static __always_inline __u32 load32(const void *at) { return *(const __u32 *)at; }
static __always_inline void store64(void *at, __u64 word) { *(__u64 *)at = word; }
static __always_inline void store32(void *at, __u32 word) { *(__u32 *)at = word; }

/// A datagram that may be ours.
struct datagram {
    /// What the key of an entry has for ports, channel number and version, as one word in memory order.
    __u64 ports;
    /// IPv4 source and destination as one word; IPv6 addresses.
    __u64 addresses4;
    __be64 source6[2];
    __be64 destination6[2];
    /// Bytes of the frame, of UDP header and data as they stand in the header, and of the payload that is relayed.
    __u32 frame_length;
    __u32 udp_length;
    __u32 payload_length;
    __u16 channel;
    __u16 udp_checksum;
    /// What the bytes between payload and end of datagram take away from the UDP checksum's sum.
    __u32 padding_sum;
    /// IPv4 alone: its first eight bytes, up to the fragment's offset.
    __u64 ip_word;
    __u16 ip_checksum;
    __u8 version;
    __u8 traffic_class;
    __u8 ttl;
    __u8 from_peer;
};

/// The addresses and the UDP header's place; 0, or why not.
static __always_inline int parse_ipv4(struct datagram *in, void *start, void *end) {
    struct iphdr *ip = start;
    if ((void *)(ip + 1) > end) return RELAY_PASS_BAD_LENGTH;
    // Version, header length, traffic class, length, identification, flags and offset; time to live, protocol, checksum
    // and source.
    __u64 first = load64(ip), second = load64(&ip->ttl);
    if ((first & 0xF0) != 0x40) return RELAY_PASS_BAD_LENGTH;
    if ((first & 0x0F) != 5) return RELAY_PASS_IPV4_OPTIONS;
    if ((first >> 48) & (__u16)~bpf_htons(0x4000)) return RELAY_PASS_FRAGMENT;
    if ((second >> 8 & 0xFF) != IPPROTO_UDP) return RELAY_PASS_NOT_UDP;
    __u32 length = bpf_ntohs((__u16)(first >> 16));
    if (length < sizeof *ip || length > in->frame_length - ETH_HLEN) return RELAY_PASS_BAD_LENGTH;
    in->version = 4;
    in->addresses4 = (__u64)ip->daddr << 32 | second >> 32;
    in->traffic_class = first >> 8;
    in->ttl = second;
    in->ip_checksum = second >> 16;
    in->ip_word = first;
    in->udp_length = length - sizeof *ip;
    return 0;
}

/// Whether the checksum of an IPv4 header without options is right, which came apart into words.
static __always_inline int has_good_header(const struct datagram *in) {
    __u64 sum = (__u32)in->ip_word + (in->ip_word >> 32) + (__u32)in->addresses4 + (in->addresses4 >> 32) +
                (in->ttl | IPPROTO_UDP << 8 | (__u32)in->ip_checksum << 16);
    sum = (__u32)sum + (sum >> 32);
    return fold((sum & 0xFFFF) + (sum >> 16)) == 0xFFFF;
}

static __always_inline int parse_ipv6(struct datagram *in, void *start, void *end) {
    struct ipv6hdr *ip = start;
    if ((void *)(ip + 1) > end) return RELAY_PASS_BAD_LENGTH;
    if (ip->version != 6) return RELAY_PASS_BAD_LENGTH;
    switch (ip->nexthdr) {
    case IPPROTO_UDP: break;
    case IPPROTO_FRAGMENT: return RELAY_PASS_FRAGMENT;
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_DSTOPTS: return RELAY_PASS_IPV6_EXTENSION;
    default: return RELAY_PASS_NOT_UDP;
    }
    __u32 length = bpf_ntohs(ip->payload_len);
    if (length + sizeof *ip > in->frame_length - ETH_HLEN) return RELAY_PASS_BAD_LENGTH;
    in->version = 6;
    in->source6[0] = load64(&ip->saddr);
    in->source6[1] = load64((void *)&ip->saddr + 8);
    in->destination6[0] = load64(&ip->daddr);
    in->destination6[1] = load64((void *)&ip->daddr + 8);
    in->traffic_class = bpf_ntohs(*(__be16 *)ip) >> 4;
    in->ttl = ip->hop_limit;
    in->udp_length = length;
    return 0;
}

/// The one to three bytes that a client may put behind channel data (RFC 8656 section 12.5), as what they add to the
/// checksum's sum.
static __always_inline int sum_padding(struct datagram *in, void *payload, void *end) {
    __u32 padding = in->udp_length - sizeof(struct udphdr) - sizeof(struct channel_header) - in->payload_length;
    if (padding == 0) return 0;
    if (padding > 3) return RELAY_PASS_PADDING;
    __u32 at = in->payload_length;
    if (at > RELAY_LARGEST_PAYLOAD) return RELAY_PASS_TOO_BIG;
    const __u8 *bytes = payload + at;
    // Else the compiler would move the end of the packet instead, which the verifier forbids.
    asm volatile("" : "+r"(bytes));
    if ((const void *)(bytes + 1) > end) return RELAY_PASS_BAD_LENGTH;
    __u32 odd = at % 2 ? 8 : 0;
    in->padding_sum = (__u32)bytes[0] << odd;
    if (padding == 1) return 0;
    if ((const void *)(bytes + 2) > end) return RELAY_PASS_BAD_LENGTH;
    in->padding_sum += (__u32)bytes[1] << (8 - odd);
    if (padding == 2) return 0;
    if ((const void *)(bytes + 3) > end) return RELAY_PASS_BAD_LENGTH;
    in->padding_sum += (__u32)bytes[2] << odd;
    return 0;
}

static __always_inline int parse_channel(struct datagram *in, struct udphdr *udp, void *end) {
    struct channel_header *header = (void *)(udp + 1);
    if (in->udp_length < sizeof *udp + sizeof *header || (void *)(header + 1) > end) {
        return RELAY_PASS_NOT_CHANNEL_DATA;
    }
    __u32 word = load32(header);
    if ((word & 0xC0) != 0x40) return RELAY_PASS_NOT_CHANNEL_DATA;
    in->channel = word;
    in->payload_length = bpf_ntohs((__u16)(word >> 16));
    if (in->payload_length > in->udp_length - sizeof *udp - sizeof *header) return RELAY_PASS_BAD_LENGTH;
    return sum_padding(in, header + 1, end);
}

static __always_inline int parse_udp(
    struct datagram *in, struct udphdr *udp, void *end, const struct relay_settings *settings) {
    if ((void *)(udp + 1) > end) return RELAY_PASS_BAD_LENGTH;
    // Source, destination, length, checksum.
    __u64 word = load64(udp);
    if (in->udp_length < sizeof *udp || bpf_ntohs((__u16)(word >> 32)) != in->udp_length) return RELAY_PASS_BAD_LENGTH;
    in->udp_checksum = word >> 48;
    __u16 port = bpf_ntohs((__u16)(word >> 16));
    in->from_peer = port >= settings->lowest_relay_port && port <= settings->highest_relay_port;
    if (in->from_peer) {
        in->payload_length = in->udp_length - sizeof *udp;
    } else {
        int reason = parse_channel(in, udp, end);
        if (reason) return reason;
    }
    in->ports = (__u32)word | (__u64)in->channel << 32 | (__u64)in->version << 48;
    return 0;
}

/// 0 for a datagram that a route may take; else the reason to pass the frame.
static __always_inline int parse(
    struct datagram *in, void *start, void *end, const struct relay_settings *settings) {
    struct ethhdr *ethernet = start;
    if ((void *)(ethernet + 1) > end) return RELAY_PASS_NOT_IP;
    in->frame_length = end - start;
    __be16 type = ethernet->h_proto;
    int reason;
    if (type == bpf_htons(ETH_P_IP)) {
        reason = parse_ipv4(in, ethernet + 1, end);
        if (reason) return reason;
        if (ethernet->h_dest[0] & 1) return RELAY_PASS_GROUP;
        return parse_udp(in, (void *)(ethernet + 1) + sizeof(struct iphdr), end, settings);
    }
    if (type == bpf_htons(ETH_P_IPV6)) {
        reason = parse_ipv6(in, ethernet + 1, end);
        if (reason) return reason;
        if (ethernet->h_dest[0] & 1) return RELAY_PASS_GROUP;
        return parse_udp(in, (void *)(ethernet + 1) + sizeof(struct ipv6hdr), end, settings);
    }
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD) ? RELAY_PASS_VLAN : RELAY_PASS_NOT_IP;
}
