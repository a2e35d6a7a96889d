#pragma once

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint64_t heap_allocations, heap_frees;
