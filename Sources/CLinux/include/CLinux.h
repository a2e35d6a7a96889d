/// What Swift cannot import from Linux: macros with casts, control messages, variadic and GNU-only calls.
///
/// Everything works on values or on memory that the caller owns. Calls return what the kernel returned, or the negated
/// `errno`. The headers must not define `_GNU_SOURCE`: Dispatch, Foundation and Glibc import the system's headers
/// without it, and two views of one type (`fd_set`, `enum __rusage_who`) cannot be imported together. What needs it is
/// in CLinux.c.
#pragma once

#include "clinux_address.h"
#include "clinux_control.h"
#include "clinux_errors.h"
#include "clinux_memory.h"
#include "clinux_netlink.h"
#include "clinux_poll.h"
#include "clinux_socket.h"
#include "clinux_thread.h"
