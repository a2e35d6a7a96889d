// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The kernel half of the generator. `generate` runs over live frames (BPF_PROG_TEST_RUN) and writes each anew, because
// the kernel hands pages out again as the relay left them; `sink` counts what arrives, if it is right.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

#define SHARED_ARRAY(NAME, TYPE, COUNT)             \
    struct {                                        \
        __uint(type, BPF_MAP_TYPE_ARRAY);           \
        __uint(map_flags, BPF_F_MMAPABLE);          \
        __uint(max_entries, COUNT);                 \
        __type(key, __u32);                         \
        __type(value, TYPE);                        \
    } NAME SEC(".maps")

SHARED_ARRAY(settings_map, struct frames_settings, 1);
SHARED_ARRAY(progress_map, struct frames_progress, 1);
SHARED_ARRAY(schedule_map, struct frames_appointment, FRAMES_SCHEDULE_MAX);
SHARED_ARRAY(template_map, struct frames_template, FRAMES_SESSIONS_MAX * 2);
SHARED_ARRAY(expectation_map, struct frames_expectation, FRAMES_SESSIONS_MAX * 2);
SHARED_ARRAY(tally_map, struct frames_tally, 2);
SHARED_ARRAY(histogram_map, __u64, FRAMES_BUCKETS * 2);

struct noise {
    __u32 words[FRAMES_NOISE_WORDS];
};
SHARED_ARRAY(noise_map, struct noise, 1);

static __always_inline __u16 fold(__u64 sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
}

// Chooses the next burst: its session and direction. Returns when it is due.
static __always_inline __u64 next_burst(const struct frames_settings *s, struct frames_progress *p)
{
    if (s->schedule_entries == 0) {
        if (p->turn >= s->sessions) {
            p->turn = 0;
            if (s->directions == 3)
                p->direction ^= 1;
        }
        p->session = p->turn;
        return s->start_ns + (p->offered * s->interval >> 16);
    }
    if (p->turn >= s->schedule_entries) {
        p->turn = 0;
        p->cycle++;
    }
    __u32 turn = p->turn;
    const struct frames_appointment *entry = bpf_map_lookup_elem(&schedule_map, &turn);
    if (!entry)
        return ~0ull;
    p->session = entry->session;
    p->direction = entry->direction;
    return s->start_ns + p->cycle * s->period_ns + entry->offset_ns;
}

// Whether a datagram is to leave now. Takes it, if so.
static __always_inline int take_turn(const struct frames_settings *s, struct frames_progress *p, __u64 *now)
{
    *now = s->interval || s->stamps || s->schedule_entries || (p->offered & 63) == 0 ? bpf_ktime_get_ns() : 0;
    if (*now && *now >= s->end_ns)
        return 0;
    if (p->burst_left == 0) {
        if (next_burst(s, p) > *now && (s->interval || s->schedule_entries))
            return 0;
        p->turn++;
        p->burst_left = s->burst;
    }
    p->burst_left--;
    p->offered++;
    return 1;
}

static __always_inline int write_payload_head(
    const struct frames_settings *s, struct frames_template *t, struct udphdr *udp, struct frames_head *head, void *end,
    __u32 session, __u32 direction, __u64 now)
{
    if ((void *)(head + 1) > end)
        return -1;
    __u32 sequence = t->sequence++;
    __u32 check = frames_check(s->run, session, sequence, direction);
    __u64 sent = s->stamps ? now : 0;
    head->run = s->run;
    head->session = session;
    head->sequence = sequence;
    head->check = check;
    head->sent_ns = sent;
    __u16 sum = ~fold((__u64)t->sum + sequence + check + (__u32)sent + (sent >> 32));
    udp->check = sum ? sum : 0xFFFF;
    return 0;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
    __u32 zero = 0;
    const struct frames_settings *s = bpf_map_lookup_elem(&settings_map, &zero);
    struct frames_progress *p = bpf_map_lookup_elem(&progress_map, &zero);
    __u64 now;
    if (!s || !p || !take_turn(s, p, &now))
        return XDP_DROP;
    __u32 session = p->session, direction = p->direction & 1, index = session * 2 + direction;
    struct frames_template *t = bpf_map_lookup_elem(&template_map, &index);
    if (!t)
        return XDP_ABORTED;
    // Frames are made for the longer headers; the payload never moves.
    if (direction && s->directions != 2 && bpf_xdp_adjust_head(ctx, FRAMES_CHANNEL_BYTES))
        return XDP_ABORTED;
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct udphdr *udp = data + FRAMES_UDP_OFFSET;
    struct frames_head *head;
    if (data + sizeof t->headers > end)
        return XDP_ABORTED;
    if (direction) {
        __builtin_memcpy(data, t->headers, FRAMES_HEADERS_BYTES);
        head = data + FRAMES_HEADERS_BYTES;
    } else {
        __builtin_memcpy(data, t->headers, FRAMES_HEADERS_BYTES + FRAMES_CHANNEL_BYTES);
        head = data + FRAMES_HEADERS_BYTES + FRAMES_CHANNEL_BYTES;
    }
    if (write_payload_head(s, t, udp, head, end, session, direction, now))
        return XDP_ABORTED;
    return bpf_redirect(s->interfaces[direction], 0);
}

static __always_inline __u32 log2_of(__u64 value)
{
    __u32 n = 0;
    if (value >> 32) n += 32, value >>= 32;
    if (value >> 16) n += 16, value >>= 16;
    if (value >> 8) n += 8, value >>= 8;
    if (value >> 4) n += 4, value >>= 4;
    if (value >> 2) n += 2, value >>= 2;
    return n + (value >> 1 ? 1 : 0);
}

static __always_inline void record_latency(__u32 direction, __u64 ns)
{
    __u32 bucket = ns;
    if (ns >> FRAMES_OCTAVE_BITS) {
        __u32 octave = log2_of(ns) - FRAMES_OCTAVE_BITS;
        bucket = (octave << FRAMES_OCTAVE_BITS) + (ns >> octave);
    }
    if (bucket >= FRAMES_BUCKETS)
        bucket = FRAMES_BUCKETS - 1;
    bucket += direction ? FRAMES_BUCKETS : 0;
    __u64 *count = bpf_map_lookup_elem(&histogram_map, &bucket);
    if (count)
        *count += 1;
}

// Whether all bytes after the head are the noise, and the UDP checksum is right or left to the device.
static __always_inline int compare(
    const struct iphdr *ip, const struct udphdr *udp, const struct frames_head *head, void *end, __u32 payload)
{
    __u32 zero = 0;
    const struct noise *noise = bpf_map_lookup_elem(&noise_map, &zero);
    if (!noise)
        return 0;
    __u64 pseudo = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) + udp->len, sum = pseudo;
    const __u32 *word = (const __u32 *)udp;
    sum += word[0] + (__u64)word[1];
    if ((void *)head != (void *)(udp + 1))
        sum += word[2];
    word = (const __u32 *)head;
#pragma unroll
    for (int i = 0; i < 6; i++)
        sum += *word++;
    __u32 count = (payload - sizeof *head) / 4;
    for (__u32 i = 0; i < FRAMES_NOISE_WORDS; i++, word++) {
        if (i >= count)
            break;
        if ((void *)(word + 1) > end || *word != noise->words[i])
            return 0;
        sum += *word;
    }
    return fold(sum) == 0xFFFF || udp->check == fold(pseudo);
}

static __always_inline int judge(
    const struct frames_settings *s, const struct iphdr *ip, const struct udphdr *udp, const struct frames_head *head,
    void *end, __u32 direction, __be16 channel, __be16 channel_bytes)
{
    __u32 which = direction;
    struct frames_tally *tally = bpf_map_lookup_elem(&tally_map, &which);
    if (!tally || (void *)(head + 1) > end)
        return XDP_PASS;
    if (head->check != frames_check(head->run, head->session, head->sequence, direction)) {
        tally->corrupted++;
        return XDP_DROP;
    }
    if (head->run != s->run) {
        tally->stale++;
        return XDP_DROP;
    }
    __u32 index = head->session * 2 + direction, around = channel ? FRAMES_CHANNEL_BYTES : 0;
    struct frames_expectation *expected = bpf_map_lookup_elem(&expectation_map, &index);
    if (!expected || bpf_ntohs(udp->len) != sizeof *udp + around + s->payload ||
        (channel && bpf_ntohs(channel_bytes) != s->payload)) {
        tally->corrupted++;
        return XDP_DROP;
    }
    if (ip->saddr != expected->source || ip->daddr != expected->destination ||
        udp->source != expected->source_port || channel != expected->channel) {
        tally->misdelivered++;
        return XDP_DROP;
    }
    if ((head->sequence & FRAMES_SAMPLE_MASK) == 0) {
        if (!compare(ip, udp, head, end, s->payload)) {
            tally->corrupted++;
            return XDP_DROP;
        }
        tally->compared++;
    }
    if (head->sequence < expected->next_sequence)
        tally->reordered++;
    else
        expected->next_sequence = head->sequence + 1;
    if (head->sent_ns)
        record_latency(direction, bpf_ktime_get_ns() - head->sent_ns);
    tally->received++;
    return XDP_DROP;
}

// Everything that is not the run's data goes on to the sockets.
SEC("xdp")
int sink(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *ethernet = data;
    struct iphdr *ip = (void *)(ethernet + 1);
    struct udphdr *udp = (void *)(ip + 1);
    __u32 zero = 0;
    const struct frames_settings *s = bpf_map_lookup_elem(&settings_map, &zero);
    if (!s || (void *)(udp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
        ip->protocol != IPPROTO_UDP)
        return XDP_PASS;
    if (udp->dest == bpf_htons(FRAMES_PEER_PORT))
        return judge(s, ip, udp, (void *)(udp + 1), end, 0, 0, 0);
    __be16 *channel = (void *)(udp + 1);
    if (udp->dest != bpf_htons(FRAMES_CLIENT_PORT) || (void *)(channel + 2) > end ||
        (channel[0] & bpf_htons(0xC000)) != bpf_htons(0x4000))
        return XDP_PASS;
    return judge(s, ip, udp, (void *)(channel + 2), end, s->client_direction & 1, channel[0], channel[1]);
}

char license_text[] SEC("license") = "GPL";
