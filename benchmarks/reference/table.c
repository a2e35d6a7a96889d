#include "table.h"

#include <stdlib.h>

void table_make(struct table *t, uint64_t capacity)
{
    t->entries = calloc(capacity, sizeof *t->entries);
    t->mask = capacity - 1;
    if (!t->entries)
        abort();
}

void table_put(struct table *t, struct key key, uint32_t value)
{
    uint64_t i = table_slot(t, key);
    while (t->entries[i].key.high != 0 &&
           (t->entries[i].key.low != key.low || t->entries[i].key.high != key.high))
        i = (i + 1) & t->mask;
    t->entries[i] = (struct entry){key, value};
}

void table_remove(struct table *t, struct key key)
{
    uint64_t hole = table_slot(t, key);
    while (t->entries[hole].key.low != key.low || t->entries[hole].key.high != key.high) {
        if (t->entries[hole].key.high == 0)
            return;
        hole = (hole + 1) & t->mask;
    }
    // Entries after the hole move back when their own slot lies at or before it.
    for (uint64_t i = (hole + 1) & t->mask; t->entries[i].key.high != 0; i = (i + 1) & t->mask) {
        uint64_t home = table_slot(t, t->entries[i].key);
        if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
            t->entries[hole] = t->entries[i];
            hole = i;
        }
    }
    t->entries[hole] = (struct entry){0};
}
