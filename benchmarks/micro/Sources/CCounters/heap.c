// The program's own malloc family: counts, then asks the C library's.
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>

#include "heap.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *pointer);

_Atomic uint64_t heap_allocations, heap_frees;

static void count(_Atomic uint64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

void *malloc(size_t size)
{
    count(&heap_allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(&heap_allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *pointer, size_t size)
{
    count(&heap_allocations);
    return __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(&heap_allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **pointer, size_t alignment, size_t size)
{
    count(&heap_allocations);
    void *made = __libc_memalign(alignment, size);
    if (!made)
        return ENOMEM;
    *pointer = made;
    return 0;
}

void free(void *pointer)
{
    if (pointer)
        count(&heap_frees);
    __libc_free(pointer);
}
