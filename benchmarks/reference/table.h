// A flat table, open addressing, linear probing, deletion by shifting back: 24 bytes an entry, at most half full.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct key {
    uint64_t low, high;         // high is never 0 in a live entry
};

struct entry {
    struct key key;
    uint32_t value;
};

struct table {
    struct entry *entries;
    uint64_t mask;
};

enum { TABLE_MISS = UINT32_MAX };

static inline uint64_t table_slot(const struct table *t, struct key key)
{
    uint64_t h = (key.low ^ key.high * 0x9E3779B97F4A7C15) * 0xD6E8FEB86659FD93;
    return (h ^ h >> 32) & t->mask;
}

static inline uint32_t table_find(const struct table *t, struct key key)
{
    for (uint64_t i = table_slot(t, key);; i = (i + 1) & t->mask) {
        const struct entry *e = &t->entries[i];
        if (e->key.low == key.low && e->key.high == key.high)
            return e->value;
        if (e->key.high == 0)
            return TABLE_MISS;
    }
}

// `capacity` is a power of two, twice what it will hold.
void table_make(struct table *t, uint64_t capacity);
void table_put(struct table *t, struct key key, uint32_t value);
void table_remove(struct table *t, struct key key);
