/// Transport addresses as plain values, and their `sockaddr` forms.
#pragma once

#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/// An address and a UDP port in host order. IPv4 keeps its 32 bits in the lowest bits of `low`.
struct clinux_address {
    uint64_t high;
    uint64_t low;
    uint16_t port;
    /// 4, 6, or 0 for "none".
    uint8_t version;
};

/// Writes `address` to `name` and returns the length of the `sockaddr`: 16 or 28 bytes.
static inline socklen_t clinux_write_name(struct clinux_address address, struct sockaddr_in6 *name) {
    if (address.version == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET,
                                 .sin_port = htobe16(address.port),
                                 .sin_addr.s_addr = htobe32((uint32_t)address.low)};
        memcpy(name, &v4, sizeof v4);
        return sizeof v4;
    }
    uint64_t halves[2] = {htobe64(address.high), htobe64(address.low)};
    *name = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htobe16(address.port)};
    memcpy(&name->sin6_addr, halves, sizeof halves);
    return sizeof *name;
}

/// The four bytes of an IPv4 address as a value.
static inline struct clinux_address clinux_address_v4(struct in_addr bytes, uint16_t port) {
    return (struct clinux_address){.low = be32toh(bytes.s_addr), .port = port, .version = 4};
}

/// The sixteen bytes of an IPv6 address as a value.
static inline struct clinux_address clinux_address_v6(const struct in6_addr *bytes, uint16_t port) {
    uint64_t halves[2];
    memcpy(halves, bytes, sizeof halves);
    return (struct clinux_address){
        .high = be64toh(halves[0]), .low = be64toh(halves[1]), .port = port, .version = 6};
}

/// Reads what the kernel wrote to `name`; version 0 for a family that is neither IPv4 nor IPv6.
static inline struct clinux_address clinux_read_name(const struct sockaddr_in6 *name) {
    if (name->sin6_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, name, sizeof v4);
        return clinux_address_v4(v4.sin_addr, be16toh(v4.sin_port));
    }
    if (name->sin6_family == AF_INET6) {
        return clinux_address_v6(&name->sin6_addr, be16toh(name->sin6_port));
    }
    return (struct clinux_address){0};
}
