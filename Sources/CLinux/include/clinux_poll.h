/// epoll, eventfd and the monotonic clock.
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/// One ready descriptor of an epoll set.
struct clinux_event {
    /// What it was registered with.
    uint64_t token;
    bool readable;
    /// An error is pending or the error queue holds something.
    bool failed;
};

/// The monotonic clock in nanoseconds.
static inline uint64_t clinux_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Seconds since 1970.
static inline uint64_t clinux_wall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec;
}

static inline int clinux_epoll_create(void) {
    int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

/// Watches `descriptor`, level-triggered, for input and errors.
static inline int clinux_epoll_add(int epoll, int descriptor, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

static inline int clinux_epoll_remove(int epoll, int descriptor) {
    return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL) < 0 ? -errno : 0;
}

/// Waits up to `nanoseconds` (negative: for ever). Returns the count of events, `-EINTR`, or another negated errno.
/// `precise` uses `epoll_pwait2`; without it the time is rounded up to milliseconds.
static inline int clinux_epoll_wait(
    int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds, bool precise) {
    int count;
    if (nanoseconds > 0 && precise) {
        struct timespec timeout = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
        count = (int)syscall(SYS_epoll_pwait2, epoll, events, capacity, &timeout, NULL, 0);
    } else {
        int64_t milliseconds = nanoseconds <= 0 ? nanoseconds : nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
        count = epoll_wait(
            epoll, events, capacity,
            milliseconds < 0 ? -1 : milliseconds > 3600000 ? 3600000 : (int)milliseconds);
    }
    return count < 0 ? -errno : count;
}

static inline struct clinux_event clinux_event_at(const struct epoll_event *events, int index) {
    return (struct clinux_event){.token = events[index].data.u64,
                                 .readable = (events[index].events & (EPOLLIN | EPOLLHUP)) != 0,
                                 .failed = (events[index].events & EPOLLERR) != 0};
}

/// A descriptor that becomes readable by `clinux_eventfd_signal` until `clinux_eventfd_clear`.
static inline int clinux_eventfd_create(void) {
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

static inline void clinux_eventfd_signal(int descriptor) {
    // The only failure is a counter at its limit, which is readable all the same.
    (void)eventfd_write(descriptor, 1);
}

static inline void clinux_eventfd_clear(int descriptor) {
    eventfd_t count;
    (void)eventfd_read(descriptor, &count);
}
