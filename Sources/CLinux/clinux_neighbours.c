#define _GNU_SOURCE 1
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux_netlink.h"
#include "neighbour_message.h"

int clinux_read_neighbour(const struct nlmsghdr *header, struct clinux_neighbour *neighbour) {
    const struct ndmsg *message = NLMSG_DATA(header);
    const uint16_t usable = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;
    if (header->nlmsg_type != RTM_NEWNEIGH || !(message->ndm_state & usable)) { return -ENOENT; }
    *neighbour = (struct clinux_neighbour){.interface_index = (uint32_t)message->ndm_ifindex};
    int has_mac = 0;
    int left = (int)NLMSG_PAYLOAD(header, sizeof *message);
    const struct rtattr *first = (const void *)((const char *)message + NLMSG_ALIGN(sizeof *message));
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == sizeof neighbour->mac) {
            memcpy(neighbour->mac, RTA_DATA(a), sizeof neighbour->mac);
            has_mac = 1;
        }
        if (a->rta_type == NDA_DST && message->ndm_family == AF_INET && RTA_PAYLOAD(a) == sizeof(struct in_addr)) {
            struct in_addr v4;
            memcpy(&v4, RTA_DATA(a), sizeof v4);
            neighbour->address = clinux_address_v4(v4, 0);
        }
        if (a->rta_type == NDA_DST && message->ndm_family == AF_INET6 && RTA_PAYLOAD(a) == sizeof(struct in6_addr)) {
            struct in6_addr v6;
            memcpy(&v6, RTA_DATA(a), sizeof v6);
            neighbour->address = clinux_address_v6(&v6, 0);
        }
    }
    return has_mac && neighbour->address.version ? 0 : -ENOENT;
}

/// Takes the messages of one answer: 1 when the listing is over, 0 when more follows, or a negated errno.
static int take_all(const struct nlmsghdr *header, int length, struct clinux_neighbour *list, int capacity, int *count) {
    for (; NLMSG_OK(header, (unsigned)length); header = NLMSG_NEXT(header, length)) {
        // Something changed while the kernel was listing.
        if (header->nlmsg_flags & NLM_F_DUMP_INTR) { return -EAGAIN; }
        if (header->nlmsg_type == NLMSG_DONE) { return 1; }
        if (header->nlmsg_type == NLMSG_ERROR) { return ((const struct nlmsgerr *)NLMSG_DATA(header))->error; }
        struct clinux_neighbour neighbour;
        if (clinux_read_neighbour(header, &neighbour) < 0) { continue; }
        if (*count == capacity) { return -E2BIG; }
        list[(*count)++] = neighbour;
    }
    return 0;
}

/// Asks for the neighbours of both families on one interface. Kernels that do not filter list those of others, too.
static int request_listing(int netlink, uint32_t interface_index) {
    struct {
        struct nlmsghdr header;
        struct ndmsg body;
        struct rtattr attribute;
        uint32_t interface_index;
    } request = {.header = {.nlmsg_len = sizeof request,
                            .nlmsg_type = RTM_GETNEIGH,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body.ndm_family = AF_UNSPEC,
                 .attribute = {.rta_type = NDA_IFINDEX, .rta_len = RTA_LENGTH(sizeof(uint32_t))},
                 .interface_index = interface_index};
    return send(netlink, &request, sizeof request, 0) < 0 ? -errno : 0;
}

int clinux_list_neighbours(uint32_t interface_index, struct clinux_neighbour *list, int capacity) {
    // A socket of its own, so that a listing which is too long is left by closing it.
    int netlink = clinux_netlink_open();
    if (netlink < 0) { return netlink; }
    char answer[32768] __attribute__((aligned(8)));
    int count = 0;
    int result = request_listing(netlink, interface_index);
    while (!result) {
        ssize_t length = recv(netlink, answer, sizeof answer, 0);
        result = length < 0 ? -errno : take_all((const void *)answer, (int)length, list, capacity, &count);
    }
    close(netlink);
    return result < 0 ? result : count;
}
