/// What a message about a neighbour holds.
#pragma once

#include <linux/netlink.h>

#include "clinux_netlink.h"

/// Reads a message RTM_NEWNEIGH: 0, or -ENOENT where frames cannot be sent to that neighbour now.
int clinux_read_neighbour(const struct nlmsghdr *header, struct clinux_neighbour *neighbour);
