// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// The XDP program: relays what a route takes, passes everything else as it came.
///
/// A frame is parsed, looked up and judged before its first byte changes. It needs Linux 5.19 and little-endian words.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "meter.h"
#include "parse.h"
#include "rewrite.h"
#include "route.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sums and keys take words as they lie in memory");

static __always_inline void count(__u32 reason, __u64 bytes) {
    __u32 cpu = bpf_get_smp_processor_id();
    struct relay_counters *counters = bpf_map_lookup_elem(&relay_counters, &cpu);
    if (!counters || reason >= RELAY_REASONS) return;
    counters->packets[reason] += 1;
    counters->bytes[reason] += bytes;
}

static __always_inline void count_traffic(struct relay_entry *entry, __u32 payload_length) {
    __sync_fetch_and_add(&entry->traffic, (1ull << RELAY_TRAFFIC_PACKET_SHIFT) + payload_length);
}

/// The entry that takes the datagram, alive: 0, or the reason why there is none.
static __always_inline int find_entry(
    const struct relay_settings *settings, const struct datagram *in, struct found *found) {
    *found = in->version == 4 ? find4(settings, in->addresses4, in->ports)
                              : find6(settings, in->source6, in->destination6, in->ports);
    if (!found->entry || found->entry->flags & RELAY_INSIDE) {
        return in->from_peer ? RELAY_PASS_NO_PEER : RELAY_PASS_NO_CHANNEL;
    }
    if (is_over(found->entry)) return RELAY_PASS_LEASE_OVER;
    return found->entry->next_hop == RELAY_BARRED_NEXT_HOP ? RELAY_PASS_NO_NEXT_HOP : 0;
}

/// Judges a datagram that has its entry: 0 and a complete departure, or the reason why it does not leave here.
static __always_inline int decide(
    struct xdp_md *ctx, const struct relay_settings *settings, const struct datagram *in,
    const struct found *found, struct relay_entry **hairpin, struct departure *out) {
    const struct relay_entry *entry = found->entry;
    __u32 udp_delta = entry->udp_delta, ip_delta = entry->ip_delta, slot = found->slot;
    out->to = entry;
    if (entry->flags & RELAY_HAIRPIN) {
        struct found other = find_hairpin(settings, found);
        if (!other.entry) return RELAY_PASS_NO_HAIRPIN;
        if (is_over(other.entry)) return RELAY_PASS_LEASE_OVER;
        if (other.entry->next_hop == RELAY_BARRED_NEXT_HOP) return RELAY_PASS_NO_NEXT_HOP;
        udp_delta += other.entry->udp_delta;
        ip_delta += other.entry->ip_delta;
        out->to = other.entry;
        *hairpin = other.entry;
        slot = other.slot;
    }
    if (out->to->out_version == 6) {
        out->addresses = addresses_of(settings, slot);
        if (!out->addresses) return RELAY_PASS_NO_NEXT_HOP;
    }
    __u8 version = out->to->out_version;
    if (in->udp_checksum == 0 && (in->version != 4 || version != 4)) return RELAY_PASS_NO_CHECKSUM;
    // Into IPv6 nothing would tell the next one that the header came spoiled; between IPv4 ends the checksum does.
    if (in->version == 4 && version == 6 && !has_good_header(in)) return RELAY_PASS_BAD_HEADER;
    __u32 headers = header_length(version, out->to->out_channel) - ETH_HLEN;
    out->ip_length = headers + in->payload_length;
    out->udp_length = out->ip_length - (version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
    out->udp_checksum = depart_checksum(in, out, udp_delta);
    // The TTL is the first byte of its word.
    out->ip_delta = ip_delta + (__u16)~(in->ip_word >> 16) + bpf_htons(out->ip_length) + (__u16)~bpf_htons(0x0100);
    int reason = find_next_hop(ctx, settings, in, out);
    if (reason) return reason;
    return in->ttl <= 1 ? RELAY_DROP_TTL : 0;
}

static __always_inline __u32 path(const struct datagram *in, const struct departure *out) {
    return (in->version == 6 ? RELAY_PATH_IN_IPV6 : 0) | (in->channel ? RELAY_PATH_IN_CHANNEL : 0) |
           (out->to->out_version == 6 ? RELAY_PATH_OUT_IPV6 : 0) |
           (out->to->out_channel ? RELAY_PATH_OUT_CHANNEL : 0);
}

static __always_inline int leave(int reason, __u64 bytes) {
    count(reason, bytes);
    return reason >= RELAY_DROP_TTL ? XDP_DROP : XDP_PASS;
}

static __always_inline int relay(struct xdp_md *ctx) {
    void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 zero = 0;
    const struct relay_settings *settings = bpf_map_lookup_elem(&relay_settings, &zero);
    if (!settings || settings->magic != RELAY_MAGIC || settings->version != RELAY_ABI_VERSION) {
        return leave(RELAY_PASS_NOT_CONFIGURED, end - start);
    }
    struct datagram in = {};
    int reason = parse(&in, start, end, settings);
    if (reason) return leave(reason, end - start);
    struct found found = {};
    reason = find_entry(settings, &in, &found);
    if (reason) return leave(reason, in.frame_length);

    struct relay_entry *entry = found.entry, *hairpin = 0;
    struct departure out = {};
    reason = decide(ctx, settings, &in, &found, &hairpin, &out);
    if (reason) return leave(reason, in.frame_length);
    __u32 out_meter = hairpin ? hairpin->meter : RELAY_NO_METER;
    if ((entry->meter | out_meter) && !relay_meter_datagram(entry->meter, out_meter, in.payload_length)) {
        return leave(RELAY_DROP_RATE, in.frame_length);
    }
    reason = rewrite(ctx, &in, &out);
    if (reason) return leave(reason, in.frame_length);

    count_traffic(entry, in.payload_length);
    if (hairpin) count_traffic(hairpin, in.payload_length);
    count(path(&in, &out), in.frame_length);
    return out.action;
}

SEC("xdp")
int relay_xdp(struct xdp_md *ctx) { return relay(ctx); }

/// Writes the kernel's clock to the first eight bytes of the packet: how the daemon learns what leases are counted in.
SEC("xdp")
int relay_clock(struct xdp_md *ctx) {
    __u64 *now = (void *)(long)ctx->data;
    if ((void *)(now + 1) > (void *)(long)ctx->data_end) return XDP_ABORTED;
    *now = bpf_jiffies64();
    return XDP_PASS;
}

/// Passes everything: what the far end of a veth needs to take part.
SEC("xdp")
int relay_pass(struct xdp_md *ctx) { return XDP_PASS; }

// The kernel gives `bpf_fib_lookup` only to programs under the GPL.
char relay_license[] SEC("license") = "GPL";
