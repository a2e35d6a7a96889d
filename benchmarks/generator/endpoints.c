// The sockets, and batched receiving of datagrams with the address that each was sent to.
#include "generator.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { BATCH = 64, BUFFER_BYTES = 64 << 10, SOCKET_BUFFER_BYTES = 64 << 20 };

static int open_udp(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, bytes = SOCKET_BUFFER_BYTES;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0)
        fail("UDP port %u", port);
    return fd;
}

static int open_frames(const char *interface, int index)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int on = 1, bytes = SOCKET_BUFFER_BYTES;
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = index};
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0 ||
        bind(fd, (struct sockaddr *)&link, sizeof link) != 0)
        fail("packet socket on %s", interface);
    return fd;
}

static void read_mac(int socket, const char *interface, uint8_t mac[6])
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    if (ioctl(socket, SIOCGIFHWADDR, &request) != 0)
        fail("interface %s", interface);
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
}

void open_endpoints(struct generator *g)
{
    g->clients = open_udp(CLIENT_PORT);
    g->peers = open_udp(PEER_PORT);
    read_mac(g->clients, g->options.interface, g->mac);
    if (g->options.peer_interface)
        read_mac(g->clients, g->options.peer_interface, g->peer_mac);
    g->interface_index = if_nametoindex(g->options.interface);
    g->frames = open_frames(g->options.interface, g->interface_index);
}

void send_as_client(struct generator *g, uint32_t n, const void *bytes, size_t length)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } room = {0};
    struct iovec vector = {(void *)bytes, length};
    struct msghdr message = {
        .msg_name = &g->options.server,
        .msg_namelen = sizeof g->options.server,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof room.bytes,
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(client_address(g, n))};
    memcpy(CMSG_DATA(c), &info, sizeof info);
    // A full queue is mended by the retransmission, anything else is a broken bench.
    if (sendmsg(g->clients, &message, MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
        fail("send to the server");
}

// Room for one batch; made at the first use and kept.
struct arrivals {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in sources[BATCH];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
    } room[BATCH];
    uint8_t *buffers;
};

static void prepare(struct arrivals *in)
{
    if (!in->buffers) {
        in->buffers = mmap(NULL, (size_t)BATCH * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (in->buffers == MAP_FAILED)
            fail("receive buffers");
    }
    for (unsigned i = 0; i < BATCH; i++) {
        in->vectors[i] = (struct iovec){in->buffers + (size_t)i * BUFFER_BYTES, BUFFER_BYTES};
        in->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &in->sources[i],
            .msg_namelen = sizeof in->sources[i],
            .msg_iov = &in->vectors[i],
            .msg_iovlen = 1,
            .msg_control = in->room[i].bytes,
            .msg_controllen = sizeof in->room[i].bytes,
        };
    }
}

static unsigned visit_segments(struct mmsghdr *header, visitor *visit, void *context)
{
    size_t length = header->msg_len, segment = length ? length : 1;
    struct datagram datagram = {.source = *(struct sockaddr_in *)header->msg_hdr.msg_name};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header->msg_hdr); c; c = CMSG_NXTHDR(&header->msg_hdr, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            segment = size;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            datagram.destination = ntohl(info.ipi_addr.s_addr);
        }
    }
    unsigned count = 0;
    for (size_t at = 0; at < length; at += segment, count++) {
        datagram.bytes = (const uint8_t *)header->msg_hdr.msg_iov->iov_base + at;
        datagram.length = length - at < segment ? length - at : segment;
        visit(context, &datagram);
    }
    return count;
}

unsigned receive_batch(int socket, visitor *visit, void *context)
{
    static struct arrivals in;
    prepare(&in);
    int received = recvmmsg(socket, in.headers, BATCH, MSG_DONTWAIT, NULL);
    if (received < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
        fail("receive");
    unsigned count = 0;
    for (int i = 0; i < received; i++)
        count += visit_segments(&in.headers[i], visit, context);
    return count;
}
