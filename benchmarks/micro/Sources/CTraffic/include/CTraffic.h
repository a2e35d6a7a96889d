// Datagrams over loopback for a relay that runs in this very program: no heap, no Swift, so that all that is counted
// meanwhile is the relay's.
#pragma once

#include <stddef.h>
#include <stdint.h>

// A UDP socket on 127.0.0.1 with a port that the kernel chooses and a receive time limit of two seconds; -1 if not.
int traffic_open(uint16_t *port);
// Sends to 127.0.0.1:port and waits for one answer. Returns its size, or -1.
long traffic_ask(int socket, uint16_t port, const void *bytes, size_t length, void *answer, size_t room);
// Sends `bytes` `count` times to 127.0.0.1:port, `burst` at a time, from each of `sources` in turn, and reads as many
// datagrams of `expected` bytes at `sink`. Returns how many arrived.
long traffic_relay(const int *sources, int source_count, uint16_t port, const void *bytes, size_t length, int sink,
                   size_t expected, long count, int burst);
void traffic_close(int socket);
