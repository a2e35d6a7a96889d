/// What the XDP program and the daemon share: the layout of every map, once. `bpf/` includes this header and Swift
/// imports it. Types of the `__be` family hold network byte order, all others the byte order of the host.
#pragma once

#include <linux/types.h>

/// `relay_settings.magic`: a map of zeros is no configuration, and the program passes everything.
#define RELAY_MAGIC 0x52454C59u
/// Of this header; a program of another version passes everything.
#define RELAY_ABI_VERSION 4u

/// How many neighbouring slots a look-up tries.
#define RELAY_PROBES 32
/// A lease is counted in 2^RELAY_LEASE_SHIFT ticks of the kernel's clock (`jiffies64`).
#define RELAY_LEASE_SHIFT 6
/// `relay_entry.traffic` holds packets above this bit and bytes of payload below it, both modulo their width; the
/// difference of two readings is exact for up to 2^24 packets and 2^40 bytes between them.
#define RELAY_TRAFFIC_PACKET_SHIFT 40
/// The index of `relay_entry.next_hop` that means "not resolved".
#define RELAY_NO_NEXT_HOP 0
/// The index that means "nowhere": an address of ours that the datagram arrives at or leaves from is not ours any more.
#define RELAY_BARRED_NEXT_HOP 65535
#define RELAY_NEXT_HOPS 65536
#define RELAY_DEVICES 64
/// The index of `relay_entry.meter` and `relay_meter.next` that means "as fast as it can".
#define RELAY_NO_METER 0
/// The bits behind the point of `relay_bucket.interval`.
#define RELAY_INTERVAL_SHIFT 16
/// Larger channel data than this is left to the slow path: no frame without fragments holds it.
#define RELAY_LARGEST_PAYLOAD 0x3FFF
/// The largest IPv4 packet out of IPv6 that leaves without DF (RFC 7915 section 5.1).
#define RELAY_LARGEST_WITHOUT_DF 1260

/// `relay_settings.flags`.
enum relay_settings_flag {
    /// Next hops are the MAC addresses that a packet came with, exchanged; it leaves where it came.
    RELAY_SWAP_NEXT_HOP = 1,
    /// `bpf_fib_lookup` where an entry has no next hop.
    RELAY_FIB_NEXT_HOP = 2,
    /// Frames that leave where they came are redirected, too. A veth delivers what is transmitted only where the other
    /// end has a program; what is redirected, where it has GRO.
    RELAY_ALWAYS_REDIRECT = 4,
};

/// The one element of `relay_settings`.
struct relay_settings {
    __u32 magic;
    __u32 version;
    /// Slots of `relay_entries` less one; they are a power of two.
    __u32 slot_mask;
    __u32 flags;
    __u64 hash_seed;
    /// The range of relayed ports, both included: where datagrams are plain UDP. All other ports take channel data.
    __u16 lowest_relay_port;
    __u16 highest_relay_port;
    /// Bytes of the largest IP packet that may leave with RELAY_SWAP_NEXT_HOP.
    __u16 swap_mtu;
    __u16 reserved[17];
};

/// `relay_entry.state`.
enum relay_slot_state {
    /// Never used, or swept: a look-up ends here.
    RELAY_SLOT_EMPTY = 0,
    /// Was used: a look-up goes on.
    RELAY_SLOT_REMOVED = 1,
    RELAY_SLOT_LIVE = 2,
};

/// `relay_entry.flags`.
enum relay_entry_flag {
    /// The destination is a relayed address of this relay: its own entry says where the datagram really goes.
    RELAY_HAIRPIN = 1,
    /// The source is a relayed address of this relay: only what another entry hands over is taken, never what arrives
    /// from outside under that name.
    RELAY_INSIDE = 2,
};

/// One direction of a route: which datagrams it takes and how they leave. Written while `state` is not live and
/// published by it; afterwards only `lease`, `next_hop`, `meter` and `state` change, each by one store, and `traffic` by atomic
/// additions.
///
/// One cache line, and close together: with many routes each packet waits for its line, and the processor for the page
/// that it lies in. IPv6 addresses do not fit, and lie in `relay_addresses` behind all entries: those of the entry at
/// index i at i + slot_mask + 1.
struct relay_entry {
    __u32 state;
    /// From this moment on nothing is forwarded: `jiffies64 >> RELAY_LEASE_SHIFT`.
    __u32 lease;
    __u64 traffic;
    /// What arrives. Where that is IPv6, these eight bytes are `relay_digest6` of the addresses.
    __be32 in_source4;
    __be32 in_destination4;
    __be16 in_source_port;
    __be16 in_destination_port;
    /// The channel number of channel data; 0 where plain UDP arrives.
    __be16 in_channel;
    /// 4 or 6.
    __u8 in_version;
    __u8 in_reserved;
    /// What leaves.
    __be32 out_source4;
    __be32 out_destination4;
    __be16 out_source_port;
    __be16 out_destination_port;
    /// The channel number that is put before the payload; 0 where plain UDP leaves.
    __be16 out_channel;
    /// 4 or 6.
    __u8 out_version;
    __u8 flags;
    /// The low 20 bits, for IPv6.
    __be32 flow_label;
    /// What addresses, ports and channel numbers add to the ones' complement sum under the UDP checksum.
    __be16 udp_delta;
    /// What the addresses add to the sum under the IPv4 header's checksum; for IPv4 to IPv4.
    __be16 ip_delta;
    /// An index into `relay_next_hops`.
    __u16 next_hop;
    __u16 reserved;
    /// An index into `relay_meters`.
    __u32 meter;
};

/// The IPv6 addresses of an entry; meaningless where IPv4 arrives, or leaves.
struct relay_addresses {
    __be64 in_source[2];
    __be64 in_destination[2];
    __be64 out_source[2];
    __be64 out_destination[2];
};

/// Where frames go next. Never changed while an entry names it.
struct relay_next_hop {
    __u32 interface_index;
    /// Bytes of the largest IP packet that leaves this way.
    __u16 mtu;
    __u16 padding;
    /// As in a frame, one behind the other.
    __u8 destination[6];
    __u8 source[6];
    __u8 reserved[12];
};

/// A limit, and how much of it is used up. A datagram of `amount` bytes (or of 1) passes if
/// max(until, now) + (amount * interval >> RELAY_INTERVAL_SHIFT) is at most `burst` ahead of now; then that is the new
/// `until`. Both times are of `bpf_ktime_get_coarse_ns`, CLOCK_MONOTONIC_COARSE.
struct relay_bucket {
    /// Nanoseconds: when nothing of the burst is used up any more. Changed by the program.
    __u64 until;
    /// Nanoseconds that a byte or a datagram takes at the limit, as 48.16 fixed point; 0: no limit.
    __u64 interval;
    /// Nanoseconds that `until` may lie ahead.
    __u64 burst;
};

/// What one direction of an allocation, or of a user, is held to. Written while no entry and no meter names it;
/// afterwards `next`, `interval` and `burst` change by one store each.
struct relay_meter {
    /// Of payload.
    struct relay_bucket bytes;
    struct relay_bucket packets;
    /// The index of the meter that a datagram must pass besides: the user's of an allocation.
    __u32 next;
    __u32 reserved[3];
};

/// What became of a datagram: the index of a counter. The first sixteen are the forwarded ones, by path.
enum relay_reason {
    /// Bits of a path: 8 for IPv6 in, 4 for channel data in, 2 for IPv6 out, 1 for channel data out.
    RELAY_PATH_IN_IPV6 = 8,
    RELAY_PATH_IN_CHANNEL = 4,
    RELAY_PATH_OUT_IPV6 = 2,
    RELAY_PATH_OUT_CHANNEL = 1,
    RELAY_PATHS = 16,

    /// Passed to the kernel's stack as it came.
    RELAY_PASS_NOT_CONFIGURED = 16,
    RELAY_PASS_NOT_IP,
    RELAY_PASS_VLAN,
    /// The frame was sent to a group: broadcast or multicast.
    RELAY_PASS_GROUP,
    RELAY_PASS_IPV4_OPTIONS,
    RELAY_PASS_FRAGMENT,
    RELAY_PASS_NOT_UDP,
    RELAY_PASS_IPV6_EXTENSION,
    /// Lengths that contradict each other or the frame.
    RELAY_PASS_BAD_LENGTH,
    /// To no relayed port, and no channel data: STUN, or nothing of ours.
    RELAY_PASS_NOT_CHANNEL_DATA,
    /// Channel data that no route takes.
    RELAY_PASS_NO_CHANNEL,
    /// UDP to the relayed ports that no route takes: permission only, strangers, replies to the host itself.
    RELAY_PASS_NO_PEER,
    RELAY_PASS_LEASE_OVER,
    /// No UDP checksum, and IPv6 on one side, where there must be one.
    RELAY_PASS_NO_CHECKSUM,
    /// More than three bytes behind the channel data.
    RELAY_PASS_PADDING,
    RELAY_PASS_NO_NEXT_HOP,
    RELAY_PASS_TOO_BIG,
    RELAY_PASS_NO_HEADROOM,
    /// To a relayed address of this relay that has no channel for the sender.
    RELAY_PASS_NO_HAIRPIN,
    /// An IPv4 header whose checksum is wrong, and IPv6 leaves, which has none.
    RELAY_PASS_BAD_HEADER,

    /// Dropped.
    RELAY_DROP_TTL,
    /// The frame changed its size and could not be written: must stay zero.
    RELAY_DROP_REWRITE,
    /// Faster than an allocation or a user may be.
    RELAY_DROP_RATE,

    RELAY_REASONS,
};

/// The element of `relay_counters` of one CPU.
struct relay_counters {
    __u64 packets[64];
    /// Bytes of the frames as they came.
    __u64 bytes[64];
};

_Static_assert(sizeof(struct relay_settings) == 64, "one cache line");
_Static_assert(sizeof(struct relay_entry) == 64, "one cache line");
_Static_assert(sizeof(struct relay_addresses) == sizeof(struct relay_entry), "elements of the same map");
_Static_assert(sizeof(struct relay_next_hop) == 32, "half a cache line");
_Static_assert(sizeof(struct relay_meter) == 64, "one cache line");
_Static_assert(sizeof(struct relay_counters) == 1024, "whole cache lines");
_Static_assert(__builtin_offsetof(struct relay_settings, hash_seed) == 16, "ABI");
_Static_assert(__builtin_offsetof(struct relay_settings, lowest_relay_port) == 24, "ABI");
_Static_assert(__builtin_offsetof(struct relay_entry, traffic) == 8, "aligned for atomic additions");
_Static_assert(__builtin_offsetof(struct relay_entry, in_source4) == 16, "the key is two words");
_Static_assert(__builtin_offsetof(struct relay_entry, out_source_port) == 40, "both ports are one word");
_Static_assert(__builtin_offsetof(struct relay_entry, in_source_port) == 24, "the key is two words");
_Static_assert(__builtin_offsetof(struct relay_entry, out_source4) == 32, "ABI");
_Static_assert(__builtin_offsetof(struct relay_entry, flow_label) == 48, "ABI");
_Static_assert(__builtin_offsetof(struct relay_entry, next_hop) == 56, "ABI");
_Static_assert(__builtin_offsetof(struct relay_entry, meter) == 60, "ABI");
_Static_assert(__builtin_offsetof(struct relay_meter, next) == 48, "ABI");
_Static_assert(__builtin_offsetof(struct relay_addresses, out_source) == 32, "ABI");
_Static_assert(__builtin_offsetof(struct relay_next_hop, destination) == 8, "ABI");
_Static_assert(__builtin_offsetof(struct relay_next_hop, source) == 14, "ABI");
_Static_assert(RELAY_REASONS <= 64, "relay_counters has room");

/// Spreads a word: every bit of it reaches the low ones.
static inline __u64 relay_mix(__u64 word) {
    word ^= word >> 32;
    word *= 0xD6E8FEB86659FD93ull;
    word ^= word >> 32;
    return word;
}

/// The first slot to try, before the mask. `addresses` is source and destination of IPv4 as they lie in `relay_entry`,
/// `ports` the eight bytes from `in_source_port`.
static inline __u64 relay_hash4(__u64 addresses, __u64 ports, __u64 seed) {
    return relay_mix((relay_mix(addresses ^ seed) + seed) ^ ports);
}

/// Source and destination of IPv6 in one word; different addresses seldom have the same.
static inline __u64 relay_digest6(
    __u64 source0, __u64 source1, __u64 destination0, __u64 destination1, __u64 seed) {
    __u64 source = relay_mix(source0 ^ seed) + source1;
    __u64 destination = relay_mix(destination0 + seed) + destination1;
    return relay_mix(source ^ seed) + destination;
}

static inline __u64 relay_hash6(__u64 digest, __u64 ports) { return relay_mix(digest ^ ports); }
