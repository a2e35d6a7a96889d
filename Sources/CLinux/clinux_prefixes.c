#define _GNU_SOURCE 1
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux_netlink.h"

// FRA_DSCP, which is younger than the headers that this is built with.
enum { rule_dscp = 25 };

/// Where prefixes are written to.
struct prefixes {
    struct clinux_prefix *list;
    int capacity;
    int count;
};

static struct clinux_address address_of(const struct rtattr *attribute, int family) {
    if (family == AF_INET && attribute && RTA_PAYLOAD(attribute) >= sizeof(struct in_addr)) {
        struct in_addr v4;
        memcpy(&v4, RTA_DATA(attribute), sizeof v4);
        return clinux_address_v4(v4, 0);
    }
    if (family == AF_INET6 && attribute && RTA_PAYLOAD(attribute) >= sizeof(struct in6_addr)) {
        struct in6_addr v6;
        memcpy(&v6, RTA_DATA(attribute), sizeof v6);
        return clinux_address_v6(&v6, 0);
    }
    // No address stands for the prefix of length 0.
    return (struct clinux_address){.version = family == AF_INET ? 4 : 6};
}

static uint32_t mtu_of(const struct rtattr *metrics) {
    int length = metrics ? RTA_PAYLOAD(metrics) : 0;
    for (const struct rtattr *a = metrics ? RTA_DATA(metrics) : 0; RTA_OK(a, length); a = RTA_NEXT(a, length)) {
        if (a->rta_type == RTAX_MTU) { return *(const uint32_t *)RTA_DATA(a); }
    }
    return 0;
}

/// Whether a rule looks at ports, which one destination's datagrams do not share.
static int selects_ports(const struct fib_rule_hdr *rule, int left) {
    int has_ports = 0, is_of_udp = 1;
    const struct rtattr *first = (const void *)((const char *)rule + NLMSG_ALIGN(sizeof *rule));
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == FRA_SPORT_RANGE || a->rta_type == FRA_DPORT_RANGE || a->rta_type == rule_dscp) {
            has_ports = 1;
        }
        if (a->rta_type == FRA_IP_PROTO) { is_of_udp = *(const uint8_t *)RTA_DATA(a) == IPPROTO_UDP; }
    }
    return has_ports && is_of_udp;
}

/// Takes one route or rule: 0, or a negated errno.
static int take(struct prefixes *prefixes, const struct nlmsghdr *header) {
    // Both bodies begin alike: family and length of the destination's prefix.
    const struct rtmsg *body = NLMSG_DATA(header);
    _Static_assert(sizeof(struct rtmsg) == sizeof(struct fib_rule_hdr), "a rule's body is as long as a route's");
    _Static_assert(FRA_DST == RTA_DST, "a rule's destination has the number of a route's");
    int is_route = header->nlmsg_type == RTM_NEWROUTE;
    const struct rtattr *destination = 0, *metrics = 0;
    int left = (int)NLMSG_PAYLOAD(header, sizeof *body);
    // Rules and IPv4 routes may be for one type of service.
    if (body->rtm_tos || (!is_route && selects_ports(NLMSG_DATA(header), left))) { return -EPROTOTYPE; }
    for (const struct rtattr *a = RTM_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_DST) { destination = a; }
        if (is_route && a->rta_type == RTA_METRICS) { metrics = a; }
        if (is_route && (a->rta_type == RTA_MULTIPATH || a->rta_type == RTA_NH_ID)) { return -ENOTUNIQ; }
    }
    if (prefixes->count == prefixes->capacity) { return -E2BIG; }
    prefixes->list[prefixes->count++] = (struct clinux_prefix){
        .address = address_of(destination, body->rtm_family), .mtu = mtu_of(metrics), .length = body->rtm_dst_len};
    return 0;
}

/// Takes the messages of one dump: 1 when it is over, 0 when more follows, or a negated errno.
static int take_all(struct prefixes *prefixes, const struct nlmsghdr *header, int length) {
    for (; NLMSG_OK(header, (unsigned)length); header = NLMSG_NEXT(header, length)) {
        // Something changed while the kernel was listing.
        if (header->nlmsg_flags & NLM_F_DUMP_INTR) { return -EAGAIN; }
        if (header->nlmsg_type == NLMSG_DONE) { return 1; }
        if (header->nlmsg_type == NLMSG_ERROR) { return ((const struct nlmsgerr *)NLMSG_DATA(header))->error; }
        int error = take(prefixes, header);
        if (error) { return error; }
    }
    return 0;
}

static int dump(int netlink, struct prefixes *prefixes, uint16_t type, unsigned char family) {
    struct {
        struct nlmsghdr header;
        struct rtmsg body;
    } request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body.rtm_family = family};
    if (send(netlink, &request, sizeof request, 0) < 0) { return -errno; }
    char answer[32768] __attribute__((aligned(8)));
    int result = 0;
    while (!result) {
        ssize_t length = recv(netlink, answer, sizeof answer, 0);
        if (length < 0) { return -errno; }
        result = take_all(prefixes, (const void *)answer, (int)length);
    }
    return result < 0 ? result : 0;
}

int clinux_route_prefixes(struct clinux_prefix *list, int capacity) {
    // A socket of its own, so that a listing which is too long is left by closing it.
    int netlink = clinux_netlink_open();
    if (netlink < 0) { return netlink; }
    struct prefixes prefixes = {.list = list, .capacity = capacity};
    int error = 0;
    const unsigned char families[] = {AF_INET, AF_INET6};
    // Rules first, as what routes say may end the listing.
    for (int i = 0; i < 2 && !error; i++) { error = dump(netlink, &prefixes, RTM_GETRULE, families[i]); }
    for (int i = 0; i < 2 && !error; i++) { error = dump(netlink, &prefixes, RTM_GETROUTE, families[i]); }
    close(netlink);
    return error ? error : prefixes.count;
}
