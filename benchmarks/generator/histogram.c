#include "frames.h"

// The middle of a bucket, in nanoseconds.
static double value_of(unsigned bucket)
{
    unsigned linear = 1u << FRAMES_OCTAVE_BITS;
    if (bucket < 2 * linear)
        return bucket;
    unsigned octave = (bucket >> FRAMES_OCTAVE_BITS) - 1;
    return (double)((uint64_t)(bucket % linear + linear) << octave) + (double)((uint64_t)1 << octave) / 2;
}

// The smallest value that at least `share` of all do not exceed.
static double percentile(const uint64_t *up, const uint64_t *down, uint64_t total, double share)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < FRAMES_BUCKETS; i++) {
        seen += up[i] + down[i];
        if (seen > 0 && seen >= share * total)
            return value_of(i) / 1e3;
    }
    return total > 0 ? -1 : 0;
}

struct percentiles histogram_read(const uint64_t *up, const uint64_t *down, uint64_t offered)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < FRAMES_BUCKETS; i++)
        count += up[i] + down[i];
    uint64_t total = offered > count ? offered : count;
    return (struct percentiles){percentile(up, down, total, 0.5), percentile(up, down, total, 0.99),
                                percentile(up, down, total, 0.999), percentile(up, down, count, 1), count};
}
