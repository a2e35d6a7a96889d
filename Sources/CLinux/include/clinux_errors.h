/// The error queue of a UDP socket (`IP_RECVERR`, `IPV6_RECVERR`).
#pragma once

#include <errno.h>
#include <linux/types.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "clinux_address.h"

/// Who made an entry of the error queue.
enum clinux_error_origin {
    CLINUX_ERROR_OTHER = 0,
    /// This host, at the moment of sending.
    CLINUX_ERROR_LOCAL = 1,
    /// An ICMP or ICMPv6 message.
    CLINUX_ERROR_ICMP = 2,
};

/// One entry of the error queue.
struct clinux_error_entry {
    /// Where the failed datagram was going. The port is 0 in errors of local origin.
    struct clinux_address destination;
    enum clinux_error_origin origin;
    /// 0, or the negated `errno` of reading the queue: `-EAGAIN` when it is empty.
    int status;
    /// The `errno` that the entry stands for.
    int error_number;
    /// The MTU where `error_number` is `EMSGSIZE`.
    uint32_t info;
    uint8_t type;
    uint8_t code;
};

/// Takes one entry from the error queue; never waits.
static inline struct clinux_error_entry clinux_take_error(int descriptor) {
    struct clinux_error_entry entry = {0};
    struct sockaddr_in6 name = {0};
    _Alignas(struct cmsghdr) char control[512];
    struct msghdr message = {.msg_name = &name,
                             .msg_namelen = sizeof name,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    if (recvmsg(descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        entry.status = -errno;
        return entry;
    }
    if (message.msg_namelen > 0) { entry.destination = clinux_read_name(&name); }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (!(c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) &&
            !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            continue;
        }
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        entry.origin = error.ee_origin == SO_EE_ORIGIN_LOCAL ? CLINUX_ERROR_LOCAL
                       : error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6
                           ? CLINUX_ERROR_ICMP
                           : CLINUX_ERROR_OTHER;
        entry.error_number = (int)error.ee_errno;
        entry.type = error.ee_type;
        entry.code = error.ee_code;
        entry.info = error.ee_info;
    }
    return entry;
}

/// The text of an `errno`, or NULL for a number that has none.
const char *clinux_error_text(int number);
