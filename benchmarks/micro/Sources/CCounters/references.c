// Retains and releases of the code under test: the linker's --wrap gives the calls of all objects of the program to
// these trampolines (the standard library's own are in another file and are not seen). In assembly, because callers
// may expect any register to be kept: count, then jump on.
#include <stdatomic.h>
#include <time.h>

#include "CCounters.h"
#include "heap.h"

_Atomic uint64_t counted_retains, counted_releases;

#if defined(__x86_64__)
#define TRAMPOLINE(name, counter)                                                                                      \
    __asm__(".text\n.globl __wrap_" #name "\n.type __wrap_" #name ", @function\n__wrap_" #name ":\n"                   \
            "lock incq " #counter "(%rip)\n"                                                                           \
            "jmp __real_" #name "@PLT\n")
#elif defined(__aarch64__)
#define TRAMPOLINE(name, counter)                                                                                      \
    __asm__(".text\n.globl __wrap_" #name "\n.type __wrap_" #name ", %function\n__wrap_" #name ":\n"                   \
            "stp x0, x1, [sp, #-16]!\n"                                                                                \
            "adrp x16, " #counter "\nadd x16, x16, :lo12:" #counter "\n"                                               \
            "1: ldxr x0, [x16]\nadd x0, x0, #1\nstxr w1, x0, [x16]\ncbnz w1, 1b\n"                                     \
            "ldp x0, x1, [sp], #16\n"                                                                                  \
            "b __real_" #name "\n")
#else
#error "no trampoline for this architecture"
#endif

TRAMPOLINE(swift_retain, counted_retains);
TRAMPOLINE(swift_retain_n, counted_retains);
TRAMPOLINE(swift_bridgeObjectRetain, counted_retains);
TRAMPOLINE(swift_bridgeObjectRetain_n, counted_retains);
TRAMPOLINE(swift_release, counted_releases);
TRAMPOLINE(swift_release_n, counted_releases);
TRAMPOLINE(swift_bridgeObjectRelease, counted_releases);
TRAMPOLINE(swift_bridgeObjectRelease_n, counted_releases);

struct counters counters_now(void)
{
    return (struct counters){
        .allocations = atomic_load(&heap_allocations),
        .frees = atomic_load(&heap_frees),
        .retains = atomic_load(&counted_retains),
        .releases = atomic_load(&counted_releases),
    };
}

uint64_t counters_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
