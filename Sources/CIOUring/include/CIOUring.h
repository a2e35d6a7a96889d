/// io_uring as a relay needs it: one ring, two groups of provided buffers, a table of files.
///
/// The library's own header stays behind this one: it defines `_GNU_SOURCE`, which importers of Foundation and
/// Dispatch must not see, and most of what it offers are macros and inline helpers. Everything here belongs to the one
/// thread that opened the ring. Calls return zero or a count, or the negated `errno`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A ring and what is registered with it.
struct ciouring;

/// What became of one request, or one of the many events of a multishot request.
struct ciouring_completion {
    /// What the request was queued with.
    uint64_t token;
    /// A count of bytes, or the negated errno.
    int32_t result;
    uint32_t flags;
};

enum {
    /// The completion names a provided buffer, which is ours until it is given back.
    CIOURING_HAS_BUFFER = 1 << 0,
    /// The request lives on and will complete again.
    CIOURING_HAS_MORE = 1 << 1,
    /// The second completion of a zero-copy send: the kernel reads its memory no more.
    CIOURING_IS_NOTIFICATION = 1 << 3,
    CIOURING_BUFFER_SHIFT = 16,
    /// How many groups of provided buffers a ring has.
    CIOURING_GROUP_COUNT = 2,
};

/// What stands at the beginning of a buffer that a multishot `recvmsg` filled. The name and the control messages
/// follow, each in as many bytes as the request reserved, then the payload.
struct ciouring_received {
    uint32_t name_byte_count;
    uint32_t control_byte_count;
    uint32_t payload_byte_count;
    /// `MSG_TRUNC`, `MSG_CTRUNC`.
    uint32_t flags;
};

/// How the kernel runs the ring's deferred work.
enum ciouring_mode {
    /// One thread submits, and work waits until that thread asks for completions (Linux 6.1).
    CIOURING_DEFER = 0,
    /// One thread submits, and work runs when that thread enters the kernel for whatever reason (Linux 6.0).
    CIOURING_COOPERATE = 1,
    /// A thread of the kernel takes what is queued and runs all work, beside the one thread that queues. It sleeps when
    /// there has been nothing for a while, and is woken by the next submission.
    CIOURING_POLL = 2,
};

/// Opens a ring. `*ring` is set only when the result is 0.
int ciouring_open(
    struct ciouring **ring, unsigned submission_count, unsigned completion_count, enum ciouring_mode mode);

/// Cancels what is in flight, waits for it, and gives back files, buffers and ring. The memory of the buffers must
/// outlive this call, and the kernel writes to it no more after it.
///
/// `left` zero-copy sends, whose first completion has been taken and whose notification has not, are not waited for:
/// their packets may stay in a device or a neighbour's queue for as long as those like. They refer to pages, not to
/// addresses, so memory that was mapped may be unmapped meanwhile; the kernel uses a page for something else when the
/// last packet has gone. Memory that goes on to be written to changes what such a packet says.
void ciouring_close(struct ciouring *ring, unsigned left);

/// How many requests have been queued and not completed for good.
unsigned ciouring_in_flight(const struct ciouring *ring);

/// Has waits look at the network devices of the watched sockets themselves, for at most so long, before they sleep.
int ciouring_poll_devices(struct ciouring *ring, uint32_t microseconds);

/// Makes a table of as many files as this process may have open, at most `most`, all of them absent: how many. The
/// kernel keeps a table that is registered, and need not look descriptors up; otherwise it is only kept here.
int ciouring_make_files(struct ciouring *ring, unsigned most, bool is_registered);

/// Puts a descriptor into the table, or takes it out with -1.
int ciouring_set_file(struct ciouring *ring, unsigned index, int descriptor);

/// Registers group `group` of `count` buffers (a power of two), which is empty at first.
int ciouring_register_buffers(struct ciouring *ring, unsigned group, unsigned count);

/// Gives a buffer to a group. The kernel sees it after the next `ciouring_publish_buffers`.
void ciouring_give_buffer(struct ciouring *ring, unsigned group, uint16_t number, void *address, uint32_t byte_count);

void ciouring_publish_buffers(struct ciouring *ring, unsigned group);

// Queueing. False when the submission queue is full: submit, then try again.

/// A multishot `recvmsg` on a file of the table, with names and control messages of at most so many bytes. It lives
/// until it is cancelled or fails.
bool ciouring_queue_receive(
    struct ciouring *ring, unsigned file, unsigned group, uint32_t name_byte_count, uint32_t control_byte_count,
    uint64_t token);

/// One `sendmsg` on a file of the table, which does not wait for room. `message` is a `struct msghdr`, untyped here so
/// that no header of the system belongs to this module; it and what it points to must stay until the request has
/// completed. With zero copy the payload must stay until the last completion, the one without `CIOURING_HAS_MORE`.
bool ciouring_queue_message(
    struct ciouring *ring, unsigned file, const void *message, bool is_zero_copy, uint64_t token);

/// Completes whenever the descriptor, which is not in the table, becomes readable.
bool ciouring_queue_watch(struct ciouring *ring, int descriptor, uint64_t token);

/// Queues one question whether a file can be read or has an error: its only completion says so.
bool ciouring_queue_poll(struct ciouring *ring, unsigned file, uint64_t token);

/// Ends every request that was queued with `target`.
bool ciouring_queue_cancel(struct ciouring *ring, uint64_t target, uint64_t token);

/// Ends every request.
bool ciouring_queue_cancel_all(struct ciouring *ring, uint64_t token);

/// Whether anything is queued that the kernel, or its polling thread, has not been given.
bool ciouring_has_queued(const struct ciouring *ring);

/// Hands everything queued to the kernel and has it post what has completed, without waiting. A polling thread posts by
/// itself, and is waited for only while the queue is full.
int ciouring_submit(struct ciouring *ring);

/// As `ciouring_submit`, then waits for a completion, at most so long (negative: for ever).
/// 0 also at the end of that time and after a signal.
int ciouring_wait(struct ciouring *ring, int64_t nanoseconds);

/// Takes completions in the order in which they were posted: how many.
unsigned ciouring_take(struct ciouring *ring, struct ciouring_completion *completions, unsigned capacity);
