/// Threads with a name and a place: the calls are GNU extensions, and CPU_SET is a macro.
#pragma once

#include <pthread.h>

/// Starts a thread that runs `body(context)`, on `cpu` alone unless that is negative. It takes no signals: they are for
/// the thread that waits for them.
/// Returns 0, or the positive errno (EINVAL: there is no such CPU, or it is not ours).
int clinux_thread_start(pthread_t *thread, int cpu, void *(*body)(void *), void *context);

/// Names the calling thread; the kernel keeps 15 bytes, a longer name is not taken.
void clinux_thread_set_name(const char *name);

/// Gives the calling thread the niceness of the process's main thread; a runtime may have started the one that started
/// this with another. Without the right to be that urgent it stays as it is.
void clinux_thread_take_niceness_of_process(void);

static inline void clinux_thread_join(pthread_t thread) { (void)pthread_join(thread, NULL); }

static inline void clinux_thread_detach(pthread_t thread) { (void)pthread_detach(thread); }
