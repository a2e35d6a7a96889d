#define _GNU_SOURCE 1
#include "CIOUring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

_Static_assert(CIOURING_HAS_BUFFER == IORING_CQE_F_BUFFER, "the kernel's flags are passed through");
_Static_assert(CIOURING_HAS_MORE == IORING_CQE_F_MORE, "the kernel's flags are passed through");
_Static_assert(CIOURING_IS_NOTIFICATION == IORING_CQE_F_NOTIF, "the kernel's flags are passed through");
_Static_assert(CIOURING_BUFFER_SHIFT == IORING_CQE_BUFFER_SHIFT, "the kernel's flags are passed through");
_Static_assert(sizeof(struct ciouring_received) == sizeof(struct io_uring_recvmsg_out), "the kernel writes these");

/// The token of requests whose end nobody waits for but `ciouring_close`.
#define CLOSING UINT64_MAX
/// How often `ciouring_close` asks for completions before it leaves the rest to the kernel.
#define CLOSING_ROUNDS 1000
/// How long the polling thread looks for requests before it sleeps: longer than a tick of the kernel, and shorter than
/// a call's pause between two datagrams, which must not keep a processor busy.
#define POLL_IDLE_MILLISECONDS 5
/// IORING_REGISTER_NAPI of Linux 6.9, and its argument. Debian's headers know neither.
#define REGISTER_NAPI 27

struct napi_registration {
    uint32_t busy_poll_microseconds;
    uint8_t prefers_busy_poll;
    uint8_t reserved[11];
};
_Static_assert(sizeof(struct napi_registration) == 16, "the kernel's struct io_uring_napi");

struct group {
    struct io_uring_buf_ring *ring;
    size_t byte_count;
    unsigned count;
    /// Buffers that were given and not published.
    int unpublished;
};

struct ciouring {
    struct io_uring ring;
    struct group groups[CIOURING_GROUP_COUNT];
    unsigned in_flight;
    /// Of those, while the ring is being closed, the ones that are not waited for: zero-copy sends that are done but
    /// for their notification.
    unsigned left;
    /// The kernel has the table of files.
    bool has_files;
    /// The table, where the kernel has none; `file_count` places.
    int *descriptors;
    unsigned file_count;
    /// A thread of the kernel takes what is queued.
    bool is_polled;
    /// Says how much room names and control messages get; read at submission.
    struct msghdr receive_header;
};

static unsigned flags_of(enum ciouring_mode mode) {
    switch (mode) {
    case CIOURING_DEFER: return IORING_SETUP_DEFER_TASKRUN;
    case CIOURING_COOPERATE: return IORING_SETUP_COOP_TASKRUN;
    case CIOURING_POLL: return IORING_SETUP_SQPOLL;
    }
    return 0;
}

int ciouring_open(
    struct ciouring **ring, unsigned submission_count, unsigned completion_count, enum ciouring_mode mode) {
    struct ciouring *made = calloc(1, sizeof *made);
    if (made == NULL) { return -ENOMEM; }
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | flags_of(mode),
        .cq_entries = completion_count,
        .sq_thread_idle = POLL_IDLE_MILLISECONDS,
    };
    int result = io_uring_queue_init_params(submission_count, &made->ring, &parameters);
    if (result < 0) {
        free(made);
        return result;
    }
    // Saves the look-up of the descriptor at every call; without it everything works as well.
    (void)io_uring_register_ring_fd(&made->ring);
    made->is_polled = mode == CIOURING_POLL;
    *ring = made;
    return 0;
}

static void discard_completions(struct ciouring *ring) {
    struct ciouring_completion completions[64];
    while (ciouring_take(ring, completions, 64) == 64) {}
}

void ciouring_close(struct ciouring *ring, unsigned left) {
    ring->left = left;
    discard_completions(ring);
    if (ring->in_flight > ring->left) {
        if (io_uring_sq_space_left(&ring->ring) == 0) { (void)ciouring_submit(ring); }
        (void)ciouring_queue_cancel_all(ring, CLOSING);
    }
    for (int round = 0; round < CLOSING_ROUNDS && ring->in_flight > ring->left; round++) {
        if (ciouring_wait(ring, 1000000) < 0) { break; }
        discard_completions(ring);
    }
    // Before the ring goes: the kernel takes rings apart in its own time, and would keep the files open until then.
    if (ring->has_files) { (void)io_uring_unregister_files(&ring->ring); }
    for (unsigned index = 0; index < CIOURING_GROUP_COUNT; index++) {
        struct group *group = &ring->groups[index];
        if (group->ring == NULL) { continue; }
        (void)io_uring_unregister_buf_ring(&ring->ring, (int)index);
        (void)munmap(group->ring, group->byte_count);
    }
    io_uring_queue_exit(&ring->ring);
    free(ring->descriptors);
    free(ring);
}

unsigned ciouring_in_flight(const struct ciouring *ring) { return ring->in_flight; }

int ciouring_poll_devices(struct ciouring *ring, uint32_t microseconds) {
    struct napi_registration registration = {.busy_poll_microseconds = microseconds, .prefers_busy_poll = 1};
    int result = io_uring_register((unsigned)ring->ring.ring_fd, REGISTER_NAPI, &registration, 1);
    return result < 0 ? result : 0;
}

int ciouring_make_files(struct ciouring *ring, unsigned most, bool is_registered) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) { return -errno; }
    unsigned count = limit.rlim_cur < most ? (unsigned)limit.rlim_cur : most;
    if (!is_registered) { return (int)count; }
    int result = io_uring_register_files_sparse(&ring->ring, count);
    if (result < 0) { return result; }
    ring->has_files = true;
    return (int)count;
}

/// Keeps a descriptor in the table of our own.
static int note_descriptor(struct ciouring *ring, unsigned index, int descriptor) {
    if (index >= ring->file_count) {
        unsigned count = index + 1 > 2 * ring->file_count ? index + 1 : 2 * ring->file_count;
        int *grown = realloc(ring->descriptors, count * sizeof *grown);
        if (grown == NULL) { return -ENOMEM; }
        for (unsigned added = ring->file_count; added < count; added++) { grown[added] = -1; }
        ring->descriptors = grown;
        ring->file_count = count;
    }
    ring->descriptors[index] = descriptor;
    return 0;
}

int ciouring_set_file(struct ciouring *ring, unsigned index, int descriptor) {
    if (!ring->has_files) { return note_descriptor(ring, index, descriptor); }
    int result = io_uring_register_files_update(&ring->ring, index, &descriptor, 1);
    return result < 0 ? result : 0;
}

int ciouring_register_buffers(struct ciouring *ring, unsigned group, unsigned count) {
    size_t byte_count = count * sizeof(struct io_uring_buf);
    void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) { return -errno; }
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory, .ring_entries = count, .bgid = (uint16_t)group};
    int result = io_uring_register_buf_ring(&ring->ring, &registration, 0);
    if (result < 0) {
        (void)munmap(memory, byte_count);
        return result;
    }
    ring->groups[group] = (struct group){.ring = memory, .byte_count = byte_count, .count = count};
    io_uring_buf_ring_init(ring->groups[group].ring);
    return 0;
}

void ciouring_give_buffer(struct ciouring *ring, unsigned index, uint16_t number, void *address, uint32_t byte_count) {
    struct group *group = &ring->groups[index];
    io_uring_buf_ring_add(
        group->ring, address, byte_count, number, io_uring_buf_ring_mask(group->count), group->unpublished);
    group->unpublished++;
}

void ciouring_publish_buffers(struct ciouring *ring, unsigned index) {
    struct group *group = &ring->groups[index];
    if (group->unpublished == 0) { return; }
    io_uring_buf_ring_advance(group->ring, group->unpublished);
    group->unpublished = 0;
}

/// A free submission entry, counted as in flight; NULL when there is none.
static struct io_uring_sqe *next_entry(struct ciouring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (sqe != NULL) { ring->in_flight++; }
    return sqe;
}

/// Makes a request one on a file of the table.
static void aim(const struct ciouring *ring, struct io_uring_sqe *sqe, unsigned file) {
    if (ring->has_files) {
        sqe->fd = (int)file;
        sqe->flags |= IOSQE_FIXED_FILE;
    } else {
        sqe->fd = file < ring->file_count ? ring->descriptors[file] : -1;
    }
}

bool ciouring_queue_receive(
    struct ciouring *ring, unsigned file, unsigned group, uint32_t name_byte_count, uint32_t control_byte_count,
    uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    // A polling thread may be reading it for an earlier request: it is written once.
    if (ring->receive_header.msg_namelen == 0) {
        ring->receive_header = (struct msghdr){.msg_namelen = name_byte_count, .msg_controllen = control_byte_count};
    }
    io_uring_prep_recvmsg_multishot(sqe, -1, &ring->receive_header, 0);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)group;
    aim(ring, sqe, file);
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_queue_message(
    struct ciouring *ring, unsigned file, const void *message, bool is_zero_copy, uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    if (is_zero_copy) {
        io_uring_prep_sendmsg_zc(sqe, -1, message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        io_uring_prep_sendmsg(sqe, -1, message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    aim(ring, sqe, file);
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_queue_watch(struct ciouring *ring, int descriptor, uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    io_uring_prep_poll_multishot(sqe, descriptor, POLLIN);
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_queue_poll(struct ciouring *ring, unsigned file, uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    io_uring_prep_poll_add(sqe, -1, POLLIN);
    aim(ring, sqe, file);
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_queue_cancel(struct ciouring *ring, uint64_t target, uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    io_uring_prep_cancel64(sqe, target, IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_queue_cancel_all(struct ciouring *ring, uint64_t token) {
    struct io_uring_sqe *sqe = next_entry(ring);
    if (sqe == NULL) { return false; }
    io_uring_prep_cancel64(sqe, 0, (int)(IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL));
    io_uring_sqe_set_data64(sqe, token);
    return true;
}

bool ciouring_has_queued(const struct ciouring *ring) {
    // What has been handed to the polling thread is its own business.
    if (ring->is_polled) { return ring->ring.sq.sqe_head != ring->ring.sq.sqe_tail; }
    return io_uring_sq_ready(&ring->ring) > 0;
}

int ciouring_submit(struct ciouring *ring) {
    int result = ring->is_polled ? io_uring_submit(&ring->ring) : io_uring_submit_and_get_events(&ring->ring);
    if (result >= 0) { result = io_uring_sqring_wait(&ring->ring); }
    return result < 0 ? result : 0;
}

int ciouring_wait(struct ciouring *ring, int64_t nanoseconds) {
    struct io_uring_cqe *first = NULL;
    struct __kernel_timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    int result = nanoseconds < 0
                     ? io_uring_submit_and_wait(&ring->ring, 1)
                     : io_uring_submit_and_wait_timeout(&ring->ring, &first, 1, &time, NULL);
    return result < 0 && result != -ETIME && result != -EINTR ? result : 0;
}

unsigned ciouring_take(struct ciouring *ring, struct ciouring_completion *completions, unsigned capacity) {
    // What found no place in the completion queue waits in the kernel until it is asked for.
    if (io_uring_cq_has_overflow(&ring->ring)) { (void)io_uring_get_events(&ring->ring); }
    unsigned count = 0;
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->ring, head, cqe) {
        if (count == capacity) { break; }
        if ((cqe->flags & IORING_CQE_F_MORE) == 0) { ring->in_flight--; }
        if ((cqe->flags & IORING_CQE_F_NOTIF) != 0 && ring->left > 0) { ring->left--; }
        completions[count++] = (struct ciouring_completion){
            .token = cqe->user_data, .result = cqe->res, .flags = cqe->flags};
    }
    io_uring_cq_advance(&ring->ring, count);
    return count;
}
