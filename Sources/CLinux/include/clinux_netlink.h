/// What the kernel knows about ways out: interfaces, routes and neighbours, over netlink.
#pragma once

#include <stdint.h>

#include "clinux_address.h"

/// An address of an interface.
struct clinux_interface_address {
    struct clinux_address address;
    uint32_t interface_index;
};

/// Writes at most `capacity` addresses of interfaces that are up; returns how many there are, or the negated errno.
int clinux_interface_addresses(struct clinux_interface_address *addresses, int capacity);

struct clinux_interface {
    char name[16];
    /// As ethtool says it; empty where it says nothing.
    char driver[32];
    uint32_t index;
    uint32_t mtu;
    /// Of IPv6 packets (`net.ipv6.conf.NAME.mtu`); 0 without IPv6.
    uint32_t ipv6_mtu;
    uint8_t mac[6];
    uint8_t is_ethernet;
    /// Large receive offload is on.
    uint8_t has_lro;
    /// Whether VLAN tags are taken off received frames before a program sees them.
    uint8_t strips_vlan_tags;
    /// Queues that receive, as ethtool's channels say it (combined and receive-only), and how many there may be; 0 where
    /// the driver does not say.
    uint32_t queues;
    uint32_t most_queues;
};

/// Reads an interface by its index; the negated errno if there is none.
int clinux_read_interface(uint32_t index, struct clinux_interface *interface);

/// What an interface's driver offers to XDP programs, as NETDEV_XDP_ACT_* of linux/netdev.h: bit 0 for native programs, bit
/// 1 for redirecting, bit 2 for sending what was redirected. The negated errno where the kernel does not say (before Linux 6.3).
int clinux_xdp_features(uint32_t index, uint64_t *features);

/// The index of an interface; 0 if there is none of that name.
uint32_t clinux_interface_index(const char *name);

/// A netlink socket for requests.
int clinux_netlink_open(void);

/// A netlink socket that hears of changes of links, addresses, routes, rules and neighbours.
int clinux_netlink_listen(void);

/// A netlink socket that hears of changes of addresses alone.
int clinux_netlink_listen_addresses(void);

/// Takes everything that waits in a netlink socket.
void clinux_netlink_drain(int netlink);

/// Where a packet would leave.
struct clinux_route {
    /// The neighbour to send it to: the gateway, or the destination itself.
    struct clinux_address next_hop;
    uint32_t interface_index;
    /// The route's own MTU, or 0.
    uint32_t mtu;
    /// The neighbour is a gateway.
    uint8_t has_gateway;
};

/// The route from a local address to a destination; -EHOSTUNREACH where that is no other host's.
int clinux_find_route(int netlink, struct clinux_address source, struct clinux_address destination,
                      struct clinux_route *route);

/// Destinations that a route or a rule tells from others.
struct clinux_prefix {
    /// Its first `length` bits count; the rest is 0.
    struct clinux_address address;
    /// The MTU that a route names, or 0.
    uint32_t mtu;
    uint8_t length;
};

/// Lists the destinations of all routes and rules, and of what the kernel learned about single destinations: how many, or a
/// negated errno; -E2BIG where they are more than `capacity`, -ENOTUNIQ where one has several next hops, -EPROTOTYPE where
/// one is for some ports or for a type of service.
int clinux_route_prefixes(struct clinux_prefix *prefixes, int capacity);

/// The MAC address of a neighbour; -ENOENT where it is not known, or known to be gone.
int clinux_find_neighbour(int netlink, uint32_t interface_index, struct clinux_address neighbour, uint8_t mac[6]);

/// A neighbour that frames can be sent to.
struct clinux_neighbour {
    struct clinux_address address;
    uint32_t interface_index;
    uint8_t mac[6];
};

/// Lists the neighbours with known MAC addresses on an interface (some kernels: on others, too): how many, or a negated
/// errno; -E2BIG where they are more than `capacity`, -EAGAIN where they changed meanwhile.
int clinux_list_neighbours(uint32_t interface_index, struct clinux_neighbour *neighbours, int capacity);

/// Has the kernel find out whether a neighbour is still there, as if something had been sent to it.
int clinux_use_neighbour(int netlink, uint32_t interface_index, struct clinux_address neighbour);

enum clinux_change {
    /// Nothing waits.
    CLINUX_CHANGE_NONE = 0,
    /// A neighbour, and nothing else.
    CLINUX_CHANGE_NEIGHBOUR = 1,
    /// A route or a rule.
    CLINUX_CHANGE_ROUTES = 2,
    /// A link or an address; or so much at once that some of it was lost.
    CLINUX_CHANGE_INTERFACES = 3,
};

/// Takes one change; `*neighbour` is whose it is.
enum clinux_change clinux_next_change(int netlink, struct clinux_address *neighbour);

/// Waits until one of two descriptors is readable or the time is up: bits 1 and 2 say which; 0 for none.
int clinux_wait_for_either(int first, int second, int milliseconds);

/// The effective capabilities of this thread, by bit as in linux/capability.h.
uint64_t clinux_effective_capabilities(void);

/// Gives up all capabilities of this thread but those in `kept`, for itself and for threads that it starts. 0, or the
/// negated errno.
int clinux_keep_capabilities(uint64_t kept);
