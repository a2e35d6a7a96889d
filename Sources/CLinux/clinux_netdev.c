#define _GNU_SOURCE 1
#include "clinux_netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// linux/netdev.h, which is younger than the headers that this is built with.
enum { netdev_command_get = 1, netdev_attribute_index = 1, netdev_attribute_xdp_features = 3 };

struct message {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    char attributes[64];
};

static void begin(struct message *message, uint16_t family, uint8_t command) {
    memset(message, 0, sizeof *message);
    message->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
    message->header.nlmsg_type = family;
    message->header.nlmsg_flags = NLM_F_REQUEST;
    message->generic.cmd = command;
    message->generic.version = 1;
}

static void add(struct message *message, uint16_t type, const void *value, size_t length) {
    struct nlattr *attribute = (void *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));
    attribute->nla_type = type;
    attribute->nla_len = (uint16_t)(NLA_HDRLEN + length);
    memcpy((char *)attribute + NLA_HDRLEN, value, length);
    message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) + NLA_ALIGN(attribute->nla_len);
}

/// Asks, and copies one attribute of the answer; -ENOENT if it has none of that type.
static int ask(int netlink, const struct message *message, uint16_t type, void *value, size_t length) {
    char answer[8192] __attribute__((aligned(8)));
    if (send(netlink, message, message->header.nlmsg_len, 0) < 0) { return -errno; }
    ssize_t received = recv(netlink, answer, sizeof answer, 0);
    if (received < 0) { return -errno; }
    const struct nlmsghdr *header = (const void *)answer;
    if (!NLMSG_OK(header, (size_t)received)) { return -EBADMSG; }
    if (header->nlmsg_type == NLMSG_ERROR) { return ((const struct nlmsgerr *)NLMSG_DATA(header))->error; }
    const char *next = (const char *)NLMSG_DATA(header) + GENL_HDRLEN;
    const char *end = (const char *)header + header->nlmsg_len;
    while (end - next >= (ptrdiff_t)NLA_HDRLEN) {
        const struct nlattr *attribute = (const void *)next;
        if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > end - next) { return -EBADMSG; }
        if ((attribute->nla_type & NLA_TYPE_MASK) == type && attribute->nla_len >= NLA_HDRLEN + length) {
            memcpy(value, next + NLA_HDRLEN, length);
            return 0;
        }
        next += NLA_ALIGN(attribute->nla_len);
    }
    return -ENOENT;
}

int clinux_xdp_features(uint32_t index, uint64_t *features) {
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (netlink < 0) { return -errno; }
    struct message message;
    uint16_t family = 0;
    begin(&message, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
    add(&message, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof "netdev");
    int result = ask(netlink, &message, CTRL_ATTR_FAMILY_ID, &family, sizeof family);
    if (result == 0) {
        begin(&message, family, netdev_command_get);
        add(&message, netdev_attribute_index, &index, sizeof index);
        result = ask(netlink, &message, netdev_attribute_xdp_features, features, sizeof *features);
    }
    close(netlink);
    return result;
}
