// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The least that an XDP relay can do: exchanges source and destination of Ethernet, IPv4 and UDP, which leaves every
// checksum as it is, and transmits. Its cost is what all others are compared with.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct mac {
    __u16 words[3];
};

static __always_inline int swap(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *ethernet = data;
    struct iphdr *ip = (void *)(ethernet + 1);
    struct udphdr *udp = (void *)(ip + 1);
    if ((void *)(udp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
        ip->protocol != IPPROTO_UDP || udp->dest != bpf_htons(3478))
        return 0;
    struct mac mac = *(struct mac *)ethernet->h_source;
    *(struct mac *)ethernet->h_source = *(struct mac *)ethernet->h_dest;
    *(struct mac *)ethernet->h_dest = mac;
    __be32 address = ip->saddr;
    ip->saddr = ip->daddr;
    ip->daddr = address;
    __be16 port = udp->source;
    udp->source = udp->dest;
    udp->dest = port;
    return 1;
}

SEC("xdp")
int swap_transmit(struct xdp_md *ctx) { return swap(ctx) ? XDP_TX : XDP_PASS; }

// The same, through the kernel's redirect, as a relay with several interfaces leaves.
SEC("xdp")
int swap_redirect(struct xdp_md *ctx) { return swap(ctx) ? bpf_redirect(ctx->ingress_ifindex, 0) : XDP_PASS; }

// Drops what `swap` would transmit: what generating and receiving alone cost.
SEC("xdp")
int drop(struct xdp_md *ctx) { return swap(ctx) ? XDP_DROP : XDP_PASS; }

// Relays that do wrong, by which the generator's checks are checked: one byte of the payload, another destination, and a
// wrong length of the channel data under a right checksum.
SEC("xdp")
int swap_corrupt(struct xdp_md *ctx)
{
    if (!swap(ctx))
        return XDP_PASS;
    __u8 *byte = (void *)(long)ctx->data + 120;
    if ((void *)(byte + 1) > (void *)(long)ctx->data_end)
        return XDP_DROP;
    *byte = 0xA5;
    return XDP_TX;
}

SEC("xdp")
int swap_misdeliver(struct xdp_md *ctx)
{
    if (!swap(ctx))
        return XDP_PASS;
    struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);
    if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
        return XDP_DROP;
    ip->daddr ^= bpf_htonl(2);
    return XDP_TX;
}

SEC("xdp")
int swap_misstate(struct xdp_md *ctx)
{
    if (!swap(ctx))
        return XDP_PASS;
    struct udphdr *udp = (void *)(long)ctx->data + sizeof(struct ethhdr) + sizeof(struct iphdr);
    __be16 *channel = (void *)(udp + 1);
    if ((void *)(channel + 2) > (void *)(long)ctx->data_end)
        return XDP_DROP;
    __be16 before = channel[1], after = bpf_htons(bpf_ntohs(before) - 4);
    channel[1] = after;
    // RFC 1624, equation 3.
    __u32 sum = (__u16)~udp->check + (__u16)~before + after;
    sum = (sum & 0xFFFF) + (sum >> 16);
    udp->check = ~((sum & 0xFFFF) + (sum >> 16));
    return XDP_TX;
}

char license_text[] SEC("license") = "GPL";
