#define _GNU_SOURCE 1
#include "clinux_thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

int clinux_thread_start(pthread_t *thread, int cpu, void *(*body)(void *), void *context) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0) { return error; }
    if (cpu >= CPU_SETSIZE) { error = EINVAL; }
    if (cpu >= 0 && error == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        error = pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    if (error == 0) {
        // The new thread inherits the mask of this one.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(thread, &attributes, body, context);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return error;
}

void clinux_thread_take_niceness_of_process(void) {
    errno = 0;
    int niceness = getpriority(PRIO_PROCESS, (id_t)getpid());
    if (errno == 0) { (void)setpriority(PRIO_PROCESS, 0, niceness); }
}

void clinux_thread_set_name(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
