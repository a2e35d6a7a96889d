// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// The XDP program with what puts its packet back before each run: `BPF_PROG_TEST_RUN` does not, and a second run would
/// measure how long it takes to pass a packet that nobody knows.
#include "../../../bpf/relay.bpf.c"

#define MEASURE_HEADERS 72

struct measure_packet {
    __u32 frame_length;
    /// Less one of a power of two: among how many IPv4 sources, from 10.0.0.0 on, the packets come in turn; 0 for one.
    __u32 source_mask;
    __u32 random;
    /// By how many bytes the relay makes the frame longer.
    __s32 growth;
    __u8 headers[MEASURE_HEADERS];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct measure_packet);
} measure_packets SEC(".maps");

static __always_inline int restore(struct xdp_md *ctx) {
    __u32 zero = 0;
    struct measure_packet *packet = bpf_map_lookup_elem(&measure_packets, &zero);
    if (!packet) return -1;
    int excess = (int)((void *)(long)ctx->data_end - (void *)(long)ctx->data) - (int)packet->frame_length;
    if (excess && bpf_xdp_adjust_head(ctx, excess)) return -1;
    void *start = (void *)(long)ctx->data;
    if (start + MEASURE_HEADERS > (void *)(long)ctx->data_end) return -1;
    __builtin_memcpy(start, packet->headers, MEASURE_HEADERS);
    if (packet->source_mask) {
        packet->random = packet->random * 1664525 + 1013904223;
        __u32 source = 0x0A000000 + ((packet->random >> 8) & packet->source_mask);
        *(__be32 *)(start + ETH_HLEN + 12) = bpf_htonl(source);
    }
    return 0;
}

SEC("xdp")
int measure_restore(struct xdp_md *ctx) { return restore(ctx) ? XDP_ABORTED : XDP_TX; }

/// What has to be undone each time is the relay's doing: this moves the head there and back without it.
SEC("xdp")
int measure_moving(struct xdp_md *ctx) {
    struct measure_packet *packet;
    __u32 zero = 0;
    if (restore(ctx) || !(packet = bpf_map_lookup_elem(&measure_packets, &zero))) return XDP_ABORTED;
    return packet->growth && bpf_xdp_adjust_head(ctx, -packet->growth) ? XDP_ABORTED : XDP_TX;
}

SEC("xdp")
int measure_relay(struct xdp_md *ctx) { return restore(ctx) ? XDP_ABORTED : relay(ctx); }
