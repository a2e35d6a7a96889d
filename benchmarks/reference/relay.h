// The reference relay: the design of the socket plane in plain C, with a control plane that asks for no credentials.
#pragma once

#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "table.h"

enum {
    SESSIONS_MAX = 1 << 15,
    BATCH = 64,                 // datagrams or GRO packets held at once
    RELAY_BATCH = 4,            // taken from one relay socket before the others get a turn
    BUFFER_BYTES = 64 << 10,    // the largest GRO packet
    CHANNEL_HEADER_BYTES = 4,
    SEGMENTS_MAX = 64,          // of one GSO send: what every kernel takes
    DEPARTURES_MAX = BATCH * 128, // a GRO packet holds at most 128 datagrams
    SEND_BYTES_MAX = 65000,     // of one GSO send
};

struct options {
    struct sockaddr_in listen;
    struct in_addr relay;
    uint16_t first_port, last_port;
    bool gro, gso, connected;
    int buffer_bytes;           // SO_RCVBUF and SO_SNDBUF of every socket; 0: the kernel's default
};

struct session {
    int socket;                 // -1: the slot is free
    uint16_t port;              // relayed port, host order
    uint16_t channel;           // 0: not bound
    struct sockaddr_in client, peer;
};

struct relay {
    struct options options;
    int epoll, listener;
    struct table by_client;     // client -> session
    struct table by_channel;    // client and channel -> session
    struct table by_peer;       // session and peer -> session
    struct session *sessions;   // SESSIONS_MAX of them
    uint32_t next_session;
    uint16_t next_port;
    uint64_t dropped;           // datagrams that no route or no room was found for
};

// Keys of the three tables.
static inline struct key client_key(const struct sockaddr_in *client)
{
    return (struct key){(uint64_t)client->sin_addr.s_addr << 16 | client->sin_port, 1};
}

static inline struct key channel_key(const struct sockaddr_in *client, uint16_t channel)
{
    return (struct key){(uint64_t)client->sin_addr.s_addr << 16 | client->sin_port, 1ull << 32 | channel};
}

static inline struct key peer_key(uint32_t session, const struct sockaddr_in *peer)
{
    return (struct key){(uint64_t)peer->sin_addr.s_addr << 16 | peer->sin_port, 2ull << 32 | session};
}

// What epoll tells of the listener; sessions are told by their index.
static const uint32_t listener_token = UINT32_MAX;

// Opens a UDP socket, bound and ready for the packet path.
int open_socket(const struct options *options, const struct sockaddr_in *local);
// Answers one STUN request: Binding, Allocate, Refresh, ChannelBind.
void control(struct relay *relay, const uint8_t *bytes, size_t length, const struct sockaddr_in *client);
// Relays until the process is ended.
void relay_forever(struct relay *relay);
