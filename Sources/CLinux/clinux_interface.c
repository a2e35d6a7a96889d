#define _GNU_SOURCE 1
#include "clinux_netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_interface_addresses(struct clinux_interface_address *addresses, int capacity) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) { return -errno; }
    int count = 0;
    for (const struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
        if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP)) { continue; }
        if (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6) { continue; }
        struct sockaddr_in6 name = {0};
        memcpy(&name, entry->ifa_addr,
               entry->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof name);
        if (count < capacity) {
            addresses[count].address = clinux_read_name(&name);
            addresses[count].interface_index = if_nametoindex(entry->ifa_name);
        }
        count++;
    }
    freeifaddrs(list);
    return count;
}

uint32_t clinux_interface_index(const char *name) { return if_nametoindex(name); }

/// The MTU that the kernel's IPv6 uses on an interface; 0 without IPv6.
static uint32_t read_ipv6_mtu(const char *name) {
    char path[64 + IFNAMSIZ], text[16] = {0};
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/mtu", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) { return 0; }
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

int clinux_read_interface(uint32_t index, struct clinux_interface *interface) {
    struct ifreq request = {0};
    *interface = (struct clinux_interface){.index = index};
    if (!if_indextoname(index, interface->name)) { return -errno; }
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) { return -errno; }
    memcpy(request.ifr_name, interface->name, IFNAMSIZ);
    if (ioctl(descriptor, SIOCGIFMTU, &request) == 0) { interface->mtu = (uint32_t)request.ifr_mtu; }
    interface->ipv6_mtu = read_ipv6_mtu(interface->name);
    if (ioctl(descriptor, SIOCGIFHWADDR, &request) == 0) {
        interface->is_ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
        memcpy(interface->mac, request.ifr_hwaddr.sa_data, 6);
    }
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    request.ifr_data = (void *)&driver;
    if (ioctl(descriptor, SIOCETHTOOL, &request) == 0) {
        memcpy(interface->driver, driver.driver, sizeof interface->driver - 1);
    }
    struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
    request.ifr_data = (void *)&flags;
    if (ioctl(descriptor, SIOCETHTOOL, &request) == 0) {
        interface->has_lro = (flags.data & ETH_FLAG_LRO) != 0;
        interface->strips_vlan_tags = (flags.data & ETH_FLAG_RXVLAN) != 0;
    }
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    request.ifr_data = (void *)&channels;
    if (ioctl(descriptor, SIOCETHTOOL, &request) == 0) {
        interface->queues = channels.combined_count + channels.rx_count;
        interface->most_queues = channels.max_combined + channels.max_rx;
    }
    close(descriptor);
    return 0;
}

uint64_t clinux_effective_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0) { return 0; }
    return (uint64_t)data[1].effective << 32 | data[0].effective;
}

int clinux_keep_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0) { return -errno; }
    for (int half = 0; half < 2; half++) {
        uint32_t mask = (uint32_t)(kept >> (32 * half));
        data[half].effective &= mask;
        data[half].permitted &= mask;
        data[half].inheritable &= mask;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
