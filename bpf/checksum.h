// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/// Ones' complement sums (RFC 1071, RFC 1624). They are taken over words as they lie in memory: the order of the bytes
/// does not matter to a sum, if all words are read alike.
#pragma once

#include <linux/types.h>

static __always_inline __u16 fold(__u32 sum) {
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
}

/// A checksum after its packet's sum has changed by `delta`: equation 3 of RFC 1624. What was wrong stays wrong.
static __always_inline __u16 update_checksum(__u16 checksum, __u32 delta) {
    return ~fold((__u16)~checksum + delta);
}
