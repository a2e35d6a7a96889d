// What needs the GNU view of the system's headers, which the module's own headers must not have.
#define _GNU_SOURCE 1
#include "CLinux.h"

#include <sched.h>
#include <stddef.h>

_Static_assert(sizeof(struct clinux_message) == sizeof(struct mmsghdr), "recvmmsg takes these");
_Static_assert(offsetof(struct clinux_message, byte_count) == offsetof(struct mmsghdr, msg_len), "recvmmsg takes these");

struct clinux_arrival clinux_read_control(struct msghdr *message) {
    struct clinux_arrival arrival = {0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_TOS) {
            arrival.traffic_class = *CMSG_DATA(c);
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int value;
            memcpy(&value, CMSG_DATA(c), sizeof value);
            arrival.traffic_class = (uint8_t)value;
        } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            // The kernel writes an int; a kernel that writes 16 bits is read right on little-endian machines only.
            int value = 0;
            memcpy(&value, CMSG_DATA(c), sizeof value);
            arrival.segment_byte_count = value > 0 ? (uint32_t)value : 0;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&arrival.drop_count, CMSG_DATA(c), sizeof arrival.drop_count);
            arrival.has_drop_count = true;
        } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival.destination = clinux_address_v4(info.ipi_spec_dst, 0);
        } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival.destination = clinux_address_v6(&info.ipi6_addr, 0);
        }
    }
    return arrival;
}

size_t clinux_put_source(void *control, size_t used, struct clinux_address source) {
    if (source.version == 4) {
        struct in_pktinfo info = {.ipi_spec_dst.s_addr = htobe32((uint32_t)source.low)};
        return clinux_put_control(control, used, SOL_IP, IP_PKTINFO, &info, sizeof info);
    }
    uint64_t halves[2] = {htobe64(source.high), htobe64(source.low)};
    struct in6_pktinfo info = {0};
    memcpy(&info.ipi6_addr, halves, sizeof halves);
    return clinux_put_control(control, used, SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
}

int clinux_receive_batch(int descriptor, struct clinux_message *messages, unsigned count) {
    int received = recvmmsg(descriptor, (struct mmsghdr *)messages, count, MSG_DONTWAIT, NULL);
    return received < 0 ? -errno : received;
}

int clinux_send_batch(int descriptor, struct clinux_message *messages, unsigned count) {
    if (count == 1) {
        return sendmsg(descriptor, &messages->header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 1;
    }
    int sent = sendmmsg(descriptor, (struct mmsghdr *)messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

const char *clinux_error_text(int number) { return strerrordesc_np(number); }

int clinux_enter_network_namespace(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) { return -errno; }
    int result = setns(descriptor, CLONE_NEWNET) < 0 ? -errno : 0;
    close(descriptor);
    return result;
}
