#define _GNU_SOURCE 1
#include "clinux_netlink.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "neighbour_message.h"

int clinux_netlink_open(void) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return descriptor < 0 ? -errno : descriptor;
}

static int listen_to(uint32_t groups) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (descriptor < 0) { return -errno; }
    struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = groups};
    if (bind(descriptor, (const struct sockaddr *)&name, sizeof name) < 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int clinux_netlink_listen(void) {
    return listen_to(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | 1u << (RTNLGRP_IPV6_RULE - 1));
}

int clinux_netlink_listen_addresses(void) { return listen_to(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR); }

void clinux_netlink_drain(int netlink) {
    char message[4096];
    // A lost notice ends no loop: it is reported once.
    while (recv(netlink, message, sizeof message, MSG_DONTWAIT) >= 0 || errno == ENOBUFS || errno == EINTR) {}
}

/// A request with room for its attributes.
struct request {
    struct nlmsghdr header;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
    };
    char attributes[128];
};

static void begin(struct request *request, uint16_t type, uint16_t flags, size_t body) {
    memset(request, 0, sizeof *request);
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = NLM_F_REQUEST | flags;
    request->header.nlmsg_len = NLMSG_LENGTH(body);
}

static void add_attribute(struct request *request, uint16_t type, const void *bytes, size_t length) {
    struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), bytes, length);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_SPACE(length);
}

static void add_address(struct request *request, uint16_t type, struct clinux_address address) {
    struct sockaddr_in6 name;
    clinux_write_name(address, &name);
    if (address.version == 4) {
        add_attribute(request, type, &((struct sockaddr_in *)&name)->sin_addr, sizeof(struct in_addr));
    } else {
        add_attribute(request, type, &name.sin6_addr, sizeof name.sin6_addr);
    }
}

static struct clinux_address read_address(const void *bytes, int family) {
    if (family == AF_INET) {
        struct in_addr v4;
        memcpy(&v4, bytes, sizeof v4);
        return clinux_address_v4(v4, 0);
    }
    struct in6_addr v6;
    memcpy(&v6, bytes, sizeof v6);
    return clinux_address_v6(&v6, 0);
}

/// Sends a request and reads its one answer: the length, or the negated errno.
static int ask(int netlink, struct request *request, void *answer, size_t room) {
    if (send(netlink, request, request->header.nlmsg_len, 0) < 0) { return -errno; }
    ssize_t length = recv(netlink, answer, room, 0);
    if (length < 0) { return -errno; }
    const struct nlmsghdr *header = answer;
    if (!NLMSG_OK(header, (size_t)length)) { return -EBADMSG; }
    if (header->nlmsg_type == NLMSG_ERROR) { return ((const struct nlmsgerr *)NLMSG_DATA(header))->error; }
    return (int)length;
}

static uint32_t read_mtu(const struct rtattr *metrics) {
    int length = RTA_PAYLOAD(metrics);
    for (const struct rtattr *a = RTA_DATA(metrics); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
        if (a->rta_type == RTAX_MTU) { return *(const uint32_t *)RTA_DATA(a); }
    }
    return 0;
}

int clinux_find_route(int netlink, struct clinux_address source, struct clinux_address destination,
                      struct clinux_route *route) {
    struct request request;
    char answer[4096] __attribute__((aligned(8)));
    begin(&request, RTM_GETROUTE, 0, sizeof request.route);
    request.route.rtm_family = destination.version == 4 ? AF_INET : AF_INET6;
    request.route.rtm_dst_len = destination.version == 4 ? 32 : 128;
    request.route.rtm_src_len = request.route.rtm_dst_len;
    add_address(&request, RTA_DST, destination);
    add_address(&request, RTA_SRC, source);
    const uint8_t protocol = IPPROTO_UDP;
    add_attribute(&request, RTA_IP_PROTO, &protocol, sizeof protocol);
    int length = ask(netlink, &request, answer, sizeof answer);
    if (length <= 0) { return length < 0 ? length : -EBADMSG; }
    const struct nlmsghdr *header = (const void *)answer;
    if (header->nlmsg_type != RTM_NEWROUTE) { return -EBADMSG; }
    const struct rtmsg *message = NLMSG_DATA(header);
    if (message->rtm_type != RTN_UNICAST) { return -EHOSTUNREACH; }
    *route = (struct clinux_route){.next_hop = destination};
    route->next_hop.port = 0;
    int left = (int)RTM_PAYLOAD(header);
    for (const struct rtattr *a = RTM_RTA(message); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_OIF) { route->interface_index = *(const uint32_t *)RTA_DATA(a); }
        if (a->rta_type == RTA_GATEWAY || a->rta_type == RTA_VIA) { route->has_gateway = 1; }
        if (a->rta_type == RTA_GATEWAY) { route->next_hop = read_address(RTA_DATA(a), message->rtm_family); }
        if (a->rta_type == RTA_METRICS) { route->mtu = read_mtu(a); }
        if (a->rta_type == RTA_VIA) {
            const struct rtvia *via = RTA_DATA(a);
            route->next_hop = read_address(via->rtvia_addr, via->rtvia_family);
        }
    }
    return route->interface_index ? 0 : -EHOSTUNREACH;
}

static void begin_neighbour(struct request *request, uint16_t type, uint16_t flags, uint32_t interface_index,
                            struct clinux_address neighbour) {
    begin(request, type, flags, sizeof request->neighbour);
    request->neighbour.ndm_family = neighbour.version == 4 ? AF_INET : AF_INET6;
    request->neighbour.ndm_ifindex = (int)interface_index;
    add_address(request, NDA_DST, neighbour);
}

int clinux_find_neighbour(int netlink, uint32_t interface_index, struct clinux_address neighbour, uint8_t mac[6]) {
    struct request request;
    char answer[1024] __attribute__((aligned(8)));
    begin_neighbour(&request, RTM_GETNEIGH, 0, interface_index, neighbour);
    int length = ask(netlink, &request, answer, sizeof answer);
    if (length <= 0) { return length < 0 ? length : -EBADMSG; }
    struct clinux_neighbour found;
    int error = clinux_read_neighbour((const void *)answer, &found);
    if (!error) { memcpy(mac, found.mac, sizeof found.mac); }
    return error;
}

int clinux_use_neighbour(int netlink, uint32_t interface_index, struct clinux_address neighbour) {
    struct request request;
    char answer[1024] __attribute__((aligned(8)));
    begin_neighbour(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, interface_index, neighbour);
    request.neighbour.ndm_flags = NTF_USE;
    int result = ask(netlink, &request, answer, sizeof answer);
    return result < 0 ? result : 0;
}

enum clinux_change clinux_next_change(int netlink, struct clinux_address *neighbour) {
    // One recv may bring several messages, but for these groups the kernel sends each by itself.
    char message[8192] __attribute__((aligned(8)));
    ssize_t length = recv(netlink, message, sizeof message, MSG_DONTWAIT);
    if (length < 0) { return errno == ENOBUFS ? CLINUX_CHANGE_INTERFACES : CLINUX_CHANGE_NONE; }
    const struct nlmsghdr *header = (const void *)message;
    if (!NLMSG_OK(header, (size_t)length)) { return CLINUX_CHANGE_INTERFACES; }
    switch (header->nlmsg_type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
    case RTM_NEWRULE:
    case RTM_DELRULE: return CLINUX_CHANGE_ROUTES;
    default: return CLINUX_CHANGE_INTERFACES;
    }
    const struct ndmsg *body = NLMSG_DATA(header);
    *neighbour = (struct clinux_address){0};
    if (body->ndm_family != AF_INET && body->ndm_family != AF_INET6) { return CLINUX_CHANGE_NEIGHBOUR; }
    int left = (int)NLMSG_PAYLOAD(header, sizeof *body);
    const struct rtattr *first = (const void *)((const char *)body + NLMSG_ALIGN(sizeof *body));
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == NDA_DST) { *neighbour = read_address(RTA_DATA(a), body->ndm_family); }
    }
    return CLINUX_CHANGE_NEIGHBOUR;
}

int clinux_wait_for_either(int first, int second, int milliseconds) {
    struct pollfd watched[2] = {{.fd = first, .events = POLLIN}, {.fd = second, .events = POLLIN}};
    if (poll(watched, 2, milliseconds) <= 0) { return 0; }
    return (watched[0].revents ? 1 : 0) | (watched[1].revents ? 2 : 0);
}
