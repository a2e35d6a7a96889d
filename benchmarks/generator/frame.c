// Prebuilt Ethernet frames: virtio header (checksum left to the device, as a host with an ordinary card sends it;
// GSO for bursts), Ethernet, IPv4, UDP. No route lookup and no socket stands between the generator and the link.
#include "generator.h"

#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum { TTL = 64, DONT_FRAGMENT = 0x4000 };

_Static_assert(sizeof(struct virtio_net_hdr) == 10, "the kernel's default vnet header");

// The one's complement sum of `bytes`, not inverted. `length` is even.
static uint32_t sum16(const void *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2) {
        uint16_t word;
        memcpy(&word, (const uint8_t *)bytes + i, 2);
        sum += word;
    }
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xFFFF) + (sum >> 16);
    return sum + (sum >> 16);
}

static size_t write_headers(struct generator *g, uint8_t *room, const struct sockaddr_in *from,
                            const struct sockaddr_in *to, size_t udp_payload)
{
    struct ether_header ether = {.ether_type = htons(ETHERTYPE_IP)};
    memcpy(ether.ether_shost, g->mac, 6);
    memcpy(ether.ether_dhost, g->options.gateway, 6);
    struct iphdr ip = {
        .version = 4,
        .ihl = 5,
        .tot_len = htons(sizeof ip + sizeof(struct udphdr) + udp_payload),
        .frag_off = htons(DONT_FRAGMENT),
        .ttl = TTL,
        .protocol = IPPROTO_UDP,
        .saddr = from->sin_addr.s_addr,
        .daddr = to->sin_addr.s_addr,
    };
    ip.check = ~fold(sum16(&ip, sizeof ip));
    struct udphdr udp = {
        .source = from->sin_port,
        .dest = to->sin_port,
        .len = htons(sizeof udp + udp_payload),
    };
    // The pseudo header's sum: what the device adds the datagram to.
    udp.check = fold(sum16(&ip.saddr, 8) + htons(IPPROTO_UDP) + udp.len);
    memcpy(room, &ether, sizeof ether);
    memcpy(room + sizeof ether, &ip, sizeof ip);
    memcpy(room + sizeof ether + sizeof ip, &udp, sizeof udp);
    return sizeof ether + sizeof ip + sizeof udp;
}

size_t frame_write(struct generator *g, uint8_t *room, uint32_t n, enum direction d, size_t payload, unsigned burst)
{
    struct session *s = &g->sessions[n];
    size_t header = d == UP ? CHANNEL_HEADER_BYTES : 0;
    struct sockaddr_in client = {AF_INET, htons(CLIENT_PORT), {htonl(client_address(g, n))}, {0}};
    struct sockaddr_in peer = {AF_INET, htons(PEER_PORT), {htonl(peer_address(g, n))}, {0}};
    struct virtio_net_hdr device = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .hdr_len = sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr),
        .csum_start = sizeof(struct ether_header) + sizeof(struct iphdr),
        .csum_offset = offsetof(struct udphdr, check),
    };
    if (burst > 1) {
        device.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        device.gso_size = header + payload;
    }
    memcpy(room, &device, sizeof device);
    uint8_t *at = room + sizeof device;
    at += write_headers(g, at, d == UP ? &client : &peer, d == UP ? &g->options.server : &s->relayed,
                        burst * (header + payload));
    for (unsigned i = 0; i < burst; i++) {
        if (d == UP) {
            uint8_t channel[CHANNEL_HEADER_BYTES] = {s->channel >> 8, s->channel, payload >> 8, payload};
            memcpy(at, channel, sizeof channel);
        }
        payload_write(at + header, payload, g->run, n, s->next_sequence[d]++, d);
        at += header + payload;
    }
    return at - room;
}
