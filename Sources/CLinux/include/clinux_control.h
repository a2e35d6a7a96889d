/// Control messages (`cmsg`) of received and sent datagrams.
#pragma once

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "clinux_address.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/// What the control messages of one received datagram say.
struct clinux_arrival {
    /// The local address that the datagram was sent to (`IP_PKTINFO`, `IPV6_PKTINFO`); version 0 without one.
    struct clinux_address destination;
    /// Bytes a segment of a GRO buffer (`UDP_GRO`); 0 where the buffer is one datagram.
    uint32_t segment_byte_count;
    /// The socket's total of dropped datagrams (`SO_RXQ_OVFL`), valid with `has_drop_count`.
    uint32_t drop_count;
    bool has_drop_count;
    /// The TOS or traffic class byte: DSCP and ECN.
    uint8_t traffic_class;
};

/// Room for every control message that a received datagram can carry here: 24 + 24 + 40 + 24 bytes.
enum { CLINUX_ARRIVAL_CONTROL_BYTES = 128 };

/// Reads the control messages of a received datagram.
struct clinux_arrival clinux_read_control(struct msghdr *message);

/// Room for every control message that a sent datagram can carry here: 40 + 24 + 24 + 24 bytes.
enum { CLINUX_DEPARTURE_CONTROL_BYTES = 112 };

/// Appends one control message at `used` bytes and returns the new count of used bytes.
/// `control` is aligned for a `cmsghdr` and has room.
static inline size_t clinux_put_control(
    void *control, size_t used, int level, int type, const void *value, size_t byte_count) {
    struct cmsghdr *header = (struct cmsghdr *)((char *)control + used);
    memset(header, 0, CMSG_SPACE(byte_count));
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(byte_count);
    memcpy(CMSG_DATA(header), value, byte_count);
    return used + CMSG_SPACE(byte_count);
}

/// Appends the source address to send from (`IP_PKTINFO`, `IPV6_PKTINFO`).
size_t clinux_put_source(void *control, size_t used, struct clinux_address source);

/// Appends the TOS byte (`version` 4) or the traffic class (`version` 6).
static inline size_t clinux_put_traffic_class(void *control, size_t used, uint8_t version, uint8_t value) {
    int number = value;
    return version == 4 ? clinux_put_control(control, used, SOL_IP, IP_TOS, &number, sizeof number)
                        : clinux_put_control(control, used, SOL_IPV6, IPV6_TCLASS, &number, sizeof number);
}

/// Appends "never fragment this IPv6 datagram" (`IPV6_DONTFRAG`).
static inline size_t clinux_put_dont_fragment_v6(void *control, size_t used) {
    int on = 1;
    return clinux_put_control(control, used, SOL_IPV6, IPV6_DONTFRAG, &on, sizeof on);
}

/// Appends the size at which the kernel cuts the message into datagrams (`UDP_SEGMENT`).
static inline size_t clinux_put_segment_size(void *control, size_t used, uint16_t byte_count) {
    return clinux_put_control(control, used, SOL_UDP, UDP_SEGMENT, &byte_count, sizeof byte_count);
}
