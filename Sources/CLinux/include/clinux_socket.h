/// Sockets: opening them, their options, and sending and receiving in batches.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux_address.h"
#include "clinux_control.h"

/// A UDP socket for IP `version` 4 or 6, non-blocking and closed on exec. An IPv6 one never takes IPv4 traffic.
static inline int clinux_open_udp(uint8_t version) {
    int descriptor = socket(version == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) { return -errno; }
    int on = 1;
    if (version == 6 && setsockopt(descriptor, SOL_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

static inline int clinux_bind(int descriptor, struct clinux_address address) {
    struct sockaddr_in6 name;
    socklen_t length = clinux_write_name(address, &name);
    return bind(descriptor, (const struct sockaddr *)&name, length) < 0 ? -errno : 0;
}

/// A raw socket for IP `version` 4 or 6 that only sends, its datagrams with their IP headers, from `address`: the
/// descriptor, or the negated errno (`-EPERM` without `CAP_NET_RAW`). It never receives: nothing has its protocol.
static inline int clinux_open_raw(uint8_t version, struct clinux_address address) {
    int family = version == 4 ? AF_INET : AF_INET6;
    int descriptor = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
    if (descriptor < 0) { return -errno; }
    // All relay sockets of an address share its send buffer, so it gets what many would have.
    int bytes = 8 << 20, omit = IP_PMTUDISC_OMIT, result = clinux_bind(descriptor, address);
    if (result == 0 && version == 4 && setsockopt(descriptor, SOL_IP, IP_MTU_DISCOVER, &omit, sizeof omit) < 0) {
        result = -errno;
    }
    if (setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) {
        (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    if (result < 0) {
        close(descriptor);
        return result;
    }
    return descriptor;
}

static inline int clinux_connect(int descriptor, struct clinux_address address) {
    struct sockaddr_in6 name;
    socklen_t length = clinux_write_name(address, &name);
    return connect(descriptor, (const struct sockaddr *)&name, length) < 0 ? -errno : 0;
}

/// The address that a socket is bound to; version 0 if it has none.
static inline struct clinux_address clinux_local_address(int descriptor) {
    struct sockaddr_in6 name = {0};
    socklen_t length = sizeof name;
    if (getsockname(descriptor, (struct sockaddr *)&name, &length) < 0) { return (struct clinux_address){0}; }
    return clinux_read_name(&name);
}

static inline int clinux_close(int descriptor) { return close(descriptor) < 0 ? -errno : 0; }

static inline int clinux_set_option(int descriptor, int level, int name, int value) {
    return setsockopt(descriptor, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/// The value of an option, or the negated errno.
static inline int clinux_option(int descriptor, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(descriptor, level, name, &value, &length) < 0 ? -errno : value;
}

/// How many datagrams a socket has dropped because its buffer was full, as SO_RXQ_OVFL tells it; 0 where that is unknown.
static inline uint32_t clinux_drop_count(int descriptor) {
    uint32_t figures[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof figures;
    return getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, figures, &length) < 0 ? 0 : figures[SK_MEMINFO_DROPS];
}

/// The TTL or hop limit that a socket's datagrams start with, or the negated errno.
static inline int clinux_hop_limit(int descriptor, uint8_t version) {
    return version == 4 ? clinux_option(descriptor, SOL_IP, IP_TTL)
                        : clinux_option(descriptor, SOL_IPV6, IPV6_UNICAST_HOPS);
}

/// Takes the pending error of a socket, so that it does not fail the next call: the errno, or 0.
static inline int clinux_take_pending_error(int descriptor) {
    return clinux_option(descriptor, SOL_SOCKET, SO_ERROR);
}

/// A message of a batch and its length: the layout of `struct mmsghdr`.
struct clinux_message {
    struct msghdr header;
    /// Bytes received or sent.
    unsigned byte_count;
};

/// Receives up to `count` datagrams without waiting: how many, or the negated errno.
int clinux_receive_batch(int descriptor, struct clinux_message *messages, unsigned count);

/// Sends up to `count` messages without waiting: how many, or the negated errno of the first.
int clinux_send_batch(int descriptor, struct clinux_message *messages, unsigned count);

/// Anonymous memory that costs nothing until it is touched, in small pages; NULL when there is none.
static inline void *clinux_reserve_memory(size_t byte_count) {
    void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) { return NULL; }
    (void)madvise(memory, byte_count, MADV_NOHUGEPAGE);
    return memory;
}

static inline void clinux_free_memory(void *memory, size_t byte_count) { (void)munmap(memory, byte_count); }

/// Raises the soft limit of open descriptors to the hard one: the limit now, or the negated errno.
static inline int64_t clinux_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) { return -errno; }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) { return -errno; }
    }
    return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

/// Moves the calling thread, and sockets that it opens from now on, into the network namespace at `path`.
int clinux_enter_network_namespace(const char *path);
