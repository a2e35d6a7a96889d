/// What tests need of the kernel and cannot ask for in Swift.
#pragma once

/// Makes the kernel refuse a system call to the calling thread, for good, as a container's seccomp profile does.
/// Returns 0, or the negated errno.
int ctestkit_refuse(long system_call, int error);

/// The number of `io_uring_setup`.
long ctestkit_io_uring_setup(void);

/// The number of `io_uring_enter`.
long ctestkit_io_uring_enter(void);
