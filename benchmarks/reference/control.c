#include "relay.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../wire/stun.h"

enum { DEFAULT_LIFETIME_SECONDS = 600, NO_TRANSPORT = 400, MISMATCH = 437, NO_CAPACITY = 508 };

static void answer_error(struct stun_writer *w, const struct stun_message *request, unsigned code)
{
    uint8_t value[4] = {0, 0, code / 100, code % 100};
    stun_begin(w, request->method, STUN_ERROR, request->transaction);
    stun_put(w, STUN_ERROR_CODE, value, sizeof value);
}

static uint32_t session_of(struct relay *relay, const struct sockaddr_in *client)
{
    return table_find(&relay->by_client, client_key(client));
}

static uint32_t free_session(struct relay *relay)
{
    for (uint32_t n = 0; n < SESSIONS_MAX; n++) {
        uint32_t index = relay->next_session++ % SESSIONS_MAX;
        if (relay->sessions[index].socket < 0)
            return index;
    }
    return TABLE_MISS;
}

// Opens a relay socket at the next port that is free.
static int open_relay(struct relay *relay, struct sockaddr_in *local)
{
    const struct options *o = &relay->options;
    for (unsigned tries = o->last_port - o->first_port + 1; tries > 0; tries--) {
        uint16_t port = relay->next_port;
        relay->next_port = port == o->last_port ? o->first_port : port + 1;
        *local = (struct sockaddr_in){AF_INET, htons(port), o->relay, {0}};
        int socket = open_socket(o, local);
        if (socket >= 0)
            return socket;
    }
    return -1;
}

static void allocate(struct relay *relay, struct stun_writer *w, const struct stun_message *m,
                     const struct sockaddr_in *client)
{
    struct sockaddr_in local;
    uint32_t index = session_of(relay, client);
    if (index != TABLE_MISS)
        return answer_error(w, m, MISMATCH);
    if ((index = free_session(relay)) == TABLE_MISS)
        return answer_error(w, m, NO_CAPACITY);
    int socket = open_relay(relay, &local);
    if (socket < 0)
        return answer_error(w, m, NO_CAPACITY);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, socket, &event) != 0)
        abort();
    relay->sessions[index] = (struct session){.socket = socket, .port = ntohs(local.sin_port), .client = *client};
    table_put(&relay->by_client, client_key(client), index);
    stun_begin(w, STUN_ALLOCATE, STUN_SUCCESS, m->transaction);
    stun_put_xor_address(w, STUN_XOR_RELAYED_ADDRESS, &local);
    stun_put_xor_address(w, STUN_XOR_MAPPED_ADDRESS, client);
    stun_put_u32(w, STUN_LIFETIME, DEFAULT_LIFETIME_SECONDS);
}

static void unbind_channel(struct relay *relay, uint32_t index)
{
    struct session *s = &relay->sessions[index];
    if (s->channel == 0)
        return;
    table_remove(&relay->by_channel, channel_key(&s->client, s->channel));
    table_remove(&relay->by_peer, peer_key(index, &s->peer));
    s->channel = 0;
}

static void bind_channel(struct relay *relay, struct stun_writer *w, const struct stun_message *m,
                         const struct sockaddr_in *client)
{
    struct stun_value number;
    struct sockaddr_in peer;
    uint32_t index = session_of(relay, client);
    if (index == TABLE_MISS)
        return answer_error(w, m, MISMATCH);
    if (!stun_find(m, STUN_CHANNEL_NUMBER, &number) || number.length != 4 ||
        !stun_xor_address(m, STUN_XOR_PEER_ADDRESS, &peer))
        return answer_error(w, m, NO_TRANSPORT);
    unbind_channel(relay, index);
    struct session *s = &relay->sessions[index];
    s->peer = peer;
    if (relay->options.connected && connect(s->socket, (const struct sockaddr *)&peer, sizeof peer) != 0)
        return answer_error(w, m, NO_CAPACITY);
    s->channel = number.bytes[0] << 8 | number.bytes[1];
    table_put(&relay->by_channel, channel_key(client, s->channel), index);
    table_put(&relay->by_peer, peer_key(index, &peer), index);
    stun_begin(w, STUN_CHANNEL_BIND, STUN_SUCCESS, m->transaction);
}

// LIFETIME 0 ends the session; nothing expires here by itself.
static void refresh(struct relay *relay, struct stun_writer *w, const struct stun_message *m,
                    const struct sockaddr_in *client)
{
    struct stun_value lifetime;
    uint32_t index = session_of(relay, client);
    if (index == TABLE_MISS)
        return answer_error(w, m, MISMATCH);
    uint32_t seconds = DEFAULT_LIFETIME_SECONDS;
    if (stun_find(m, STUN_LIFETIME, &lifetime) && lifetime.length == 4 &&
        memcmp(lifetime.bytes, "\0\0\0\0", 4) == 0) {
        seconds = 0;
        unbind_channel(relay, index);
        table_remove(&relay->by_client, client_key(client));
        close(relay->sessions[index].socket);
        relay->sessions[index].socket = -1;
    }
    stun_begin(w, STUN_REFRESH, STUN_SUCCESS, m->transaction);
    stun_put_u32(w, STUN_LIFETIME, seconds);
}

void control(struct relay *relay, const uint8_t *bytes, size_t length, const struct sockaddr_in *client)
{
    struct stun_message m;
    struct stun_writer w;
    if (!stun_parse(bytes, length, &m) || m.class != STUN_REQUEST)
        return;
    switch (m.method) {
    case STUN_BINDING:
        stun_begin(&w, STUN_BINDING, STUN_SUCCESS, m.transaction);
        stun_put_xor_address(&w, STUN_XOR_MAPPED_ADDRESS, client);
        break;
    case STUN_ALLOCATE:
        allocate(relay, &w, &m, client);
        break;
    case STUN_REFRESH:
        refresh(relay, &w, &m, client);
        break;
    case STUN_CHANNEL_BIND:
        bind_channel(relay, &w, &m, client);
        break;
    default:
        answer_error(&w, &m, NO_TRANSPORT);
    }
    sendto(relay->listener, w.bytes, w.length, MSG_DONTWAIT, (const struct sockaddr *)client, sizeof *client);
}
