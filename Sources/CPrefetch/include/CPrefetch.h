// The one processor instruction that Swift has no word for.
#ifndef CPREFETCH_H
#define CPREFETCH_H

// Asks for the cache line at `address`, soon to be read and written. Never faults, whatever the address.
static inline void cprefetch(const void *_Nonnull address) { __builtin_prefetch(address, 1, 3); }

#endif
