/// The door to libbpf and to the maps' memory: what the daemon needs of both, in types that Swift imports.
///
/// Calls return 0 or what they ask for, or the negated `errno`.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CRelayABI.h"

struct cbpf_object;

/// Opens an ELF object in memory. NULL, with `*error` the negated errno.
struct cbpf_object *cbpf_open(const void *elf, size_t byte_count, int *error);

/// Sizes a map. Before loading.
int cbpf_set_entries(struct cbpf_object *object, const char *map, uint32_t count);

/// Creates the maps and has the kernel verify the programs. What the verifier said of `relay_xdp` is in `log`:
/// its statistics, or where it failed why.
int cbpf_load(struct cbpf_object *object, char *log, size_t log_byte_count);

/// Frees what belongs to it: maps and programs live on only where something else holds them.
void cbpf_close(struct cbpf_object *object);

/// Descriptors, which belong to the object.
int cbpf_map(const struct cbpf_object *object, const char *name);
int cbpf_program(const struct cbpf_object *object, const char *name);

/// How many instructions a program has as the kernel runs it, before translation to machine code.
int cbpf_instruction_count(int program);

/// The memory of an array map, or NULL with `*error`.
void *cbpf_share(int map, size_t byte_count, int *error);
void cbpf_unshare(void *memory, size_t byte_count);

/// Puts an interface into the map of devices, or takes it out.
int cbpf_add_device(int map, uint32_t interface_index);
int cbpf_remove_device(int map, uint32_t interface_index);

/// Attaches a program to an interface for as long as the returned descriptor is open. `native`: in the driver;
/// otherwise in the generic part of the kernel.
int cbpf_attach(int program, uint32_t interface_index, int native);

/// Whether a link still attaches this program: 0; -ENODEV where it attaches nothing any more (the interface is gone, or
/// somebody detached it), -EBUSY where it attaches another program.
int cbpf_check_link(int link, int program);

/// One run of a program on a packet.
struct cbpf_run {
    const void *packet;
    uint32_t packet_byte_count;
    /// Room for what leaves; then its size.
    void *result;
    uint32_t result_byte_count;
    /// The interface that the packet came in on; 0 for loopback.
    uint32_t interface_index;
    /// Bytes at the start of `packet` that are metadata before the frame, as a driver leaves them in the headroom.
    uint32_t metadata_byte_count;
    /// Runs in a row. The packet is not put back between them.
    uint32_t repeat;
    /// XDP_PASS and its siblings.
    uint32_t verdict;
    /// Nanoseconds of one run, on average.
    uint32_t duration;
};

/// `BPF_PROG_TEST_RUN`.
int cbpf_test(int program, struct cbpf_run *run);

/// Runs each of `count` packets, each in its own run.
int cbpf_test_all(int program, struct cbpf_run *runs, size_t count);

/// How many CPUs the kernel may ever number.
int cbpf_possible_cpus(void);

/// Waits until no program that ran when this was called is still running.
int cbpf_wait_for_readers(void);

/// Nanoseconds between two ticks of `jiffies64`.
uint64_t cbpf_tick_nanoseconds(void);

// The shared memory is read by programs on other CPUs: stores that publish are atomic, and none moves before them.

static inline void cbpf_publish_state(struct relay_entry *entry, uint32_t state) {
    __atomic_store_n(&entry->state, state, __ATOMIC_RELEASE);
}

/// Takes the key out of an entry that is not live any more.
static inline void cbpf_clear_key(struct relay_entry *entry) {
    __atomic_store_n((uint64_t *)&entry->in_source_port, 0, __ATOMIC_RELAXED);
    __atomic_store_n((uint64_t *)&entry->in_source4, 0, __ATOMIC_RELAXED);
}

static inline void cbpf_set_lease(struct relay_entry *entry, uint32_t lease) {
    __atomic_store_n(&entry->lease, lease, __ATOMIC_RELAXED);
}

static inline uint32_t cbpf_lease(const struct relay_entry *entry) {
    return __atomic_load_n(&entry->lease, __ATOMIC_RELAXED);
}

static inline void cbpf_set_next_hop(struct relay_entry *entry, uint16_t next_hop) {
    __atomic_store_n(&entry->next_hop, next_hop, __ATOMIC_RELEASE);
}

static inline void cbpf_set_meter(struct relay_entry *entry, uint32_t meter) {
    __atomic_store_n(&entry->meter, meter, __ATOMIC_RELEASE);
}

static inline void cbpf_set_next_meter(struct relay_meter *meter, uint32_t next) {
    __atomic_store_n(&meter->next, next, __ATOMIC_RELEASE);
}

/// Another limit for a bucket that may be in use, of which nothing is used up. A datagram that comes meanwhile may be
/// judged by parts of both.
static inline void cbpf_set_limit(struct relay_bucket *bucket, uint64_t interval, uint64_t burst) {
    __atomic_store_n(&bucket->interval, interval, __ATOMIC_RELAXED);
    __atomic_store_n(&bucket->burst, burst, __ATOMIC_RELAXED);
    __atomic_store_n(&bucket->until, 0, __ATOMIC_RELAXED);
}

static inline uint32_t cbpf_state(const struct relay_entry *entry) {
    return __atomic_load_n(&entry->state, __ATOMIC_RELAXED);
}

static inline uint64_t cbpf_traffic(const struct relay_entry *entry) {
    return __atomic_load_n(&entry->traffic, __ATOMIC_RELAXED);
}

static inline void cbpf_publish_magic(struct relay_settings *settings, uint32_t magic) {
    __atomic_store_n(&settings->magic, magic, __ATOMIC_RELEASE);
}

static inline uint64_t cbpf_packets(const struct relay_counters *counters, uint32_t reason) {
    return __atomic_load_n(&counters->packets[reason], __ATOMIC_RELAXED);
}

static inline uint64_t cbpf_bytes(const struct relay_counters *counters, uint32_t reason) {
    return __atomic_load_n(&counters->bytes[reason], __ATOMIC_RELAXED);
}
