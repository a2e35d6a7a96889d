// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// The maps. All but the devices are memory that the daemon shares: it reads and writes them without a system call.
/// Sizes of 1 are replaced before loading.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "CRelayABI.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct relay_settings);
} relay_settings SEC(".maps");

/// An open-addressed hash table. A preallocated hash map would read its buckets' heads besides, and hands the memory of
/// a removed element to the next one while a reader may still hold it; here the daemon waits until no reader can.
/// The second half of the elements are `struct relay_addresses`.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct relay_entry);
} relay_entries SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, RELAY_NEXT_HOPS);
    __type(key, __u32);
    __type(value, struct relay_next_hop);
} relay_next_hops SEC(".maps");

/// Element 0 is none.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct relay_meter);
} relay_meters SEC(".maps");

/// By CPU. Not a per-CPU map: those cannot be shared, and the program runs with preemption off.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct relay_counters);
} relay_counters SEC(".maps");

/// The interfaces that the program is attached to, by interface index.
struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
    __uint(max_entries, RELAY_DEVICES);
    __type(key, __u32);
    __type(value, __u32);
} relay_devices SEC(".maps");
