// One session's steps: challenge, Allocate, ChannelBind, and Refresh with lifetime 0 at its end.
#include "generator.h"

#include <errno.h>
#include <string.h>

enum { LIFETIME_SECONDS = 3600, TRANSPORT_UDP = 17, UNAUTHENTICATED = 401, STALE_NONCE = 438 };
static const uint32_t transaction_mark = 0x62656E63;

// Transaction: our mark, the session, the step and the try. Names which answer belongs to what without a table.
static void make_transaction(const struct session *s, uint32_t n, uint8_t id[STUN_TRANSACTION_BYTES])
{
    uint32_t parts[3] = {transaction_mark, n, (uint32_t)s->step << 8 | s->tries};
    memcpy(id, parts, sizeof parts);
}

static void put_credentials(struct generator *g, const struct session *s, struct stun_writer *w)
{
    if (s->nonce_bytes == 0)
        return;
    stun_put(w, STUN_USERNAME, g->options.user, strlen(g->options.user));
    stun_put(w, STUN_REALM, g->realm, g->realm_bytes);
    stun_put(w, STUN_NONCE, s->nonce, s->nonce_bytes);
    stun_sign(w, g->key);
}

struct sockaddr_in peer_of(const struct generator *g, uint32_t n)
{
    if (g->pairs)
        return g->sessions[n ^ 1].relayed;
    return (struct sockaddr_in){AF_INET, htons(PEER_PORT), {htonl(peer_address(g, n))}, {0}};
}

void session_send(struct generator *g, uint32_t n)
{
    struct session *s = &g->sessions[n];
    struct stun_writer w;
    uint8_t transaction[STUN_TRANSACTION_BYTES];
    make_transaction(s, n, transaction);
    if (s->step == STEP_CHALLENGE || s->step == STEP_ALLOCATE) {
        stun_begin(&w, STUN_ALLOCATE, STUN_REQUEST, transaction);
        stun_put_u32(&w, STUN_REQUESTED_TRANSPORT, (uint32_t)TRANSPORT_UDP << 24);
        stun_put_u32(&w, STUN_LIFETIME, LIFETIME_SECONDS);
    } else if (s->step == STEP_BIND) {
        struct sockaddr_in peer = peer_of(g, n);
        stun_begin(&w, STUN_CHANNEL_BIND, STUN_REQUEST, transaction);
        stun_put_u32(&w, STUN_CHANNEL_NUMBER, (uint32_t)s->channel << 16);
        stun_put_xor_address(&w, STUN_XOR_PEER_ADDRESS, &peer);
    } else {
        stun_begin(&w, STUN_REFRESH, STUN_REQUEST, transaction);
        stun_put_u32(&w, STUN_LIFETIME, 0);
    }
    put_credentials(g, s, &w);
    s->sent_at = now_ns();
    send_as_client(g, n, w.bytes, w.length);
}

// Takes the challenge's nonce and realm; the key is made once, for all sessions have one user.
static bool take_challenge(struct generator *g, struct session *s, const struct stun_message *m)
{
    struct stun_value nonce, realm;
    if (!stun_find(m, STUN_NONCE, &nonce) || !stun_find(m, STUN_REALM, &realm) || nonce.length > NONCE_MAX ||
        realm.length > REALM_MAX)
        return false;
    memcpy(s->nonce, nonce.bytes, nonce.length);
    s->nonce_bytes = nonce.length;
    if (g->realm_bytes != realm.length || memcmp(g->realm, realm.bytes, realm.length) != 0) {
        memcpy(g->realm, realm.bytes, realm.length);
        g->realm_bytes = realm.length;
        stun_long_term_key(g->options.user, g->realm, g->realm_bytes, g->options.password, g->key);
    }
    return true;
}

static void take_error(struct generator *g, struct session *s, uint32_t n, const struct stun_message *m)
{
    unsigned code = stun_error_code(m);
    bool challenged = (code == UNAUTHENTICATED && s->step == STEP_CHALLENGE) || code == STALE_NONCE;
    errno = 0;
    if (!challenged || !take_challenge(g, s, m))
        fail("session %u, step %d: the server answered %u", n, s->step, code);
    if (s->step == STEP_CHALLENGE)
        s->step = STEP_ALLOCATE;
}

static void take_success(struct generator *g, struct session *s, uint32_t n, const struct stun_message *m)
{
    errno = 0;
    if (s->nonce_bytes > 0 && !stun_verify(m, g->key))
        fail("session %u, step %d: an answer without right integrity", n, s->step);
    if (s->step == STEP_CHALLENGE || s->step == STEP_ALLOCATE) {
        if (!stun_xor_address(m, STUN_XOR_RELAYED_ADDRESS, &s->relayed))
            fail("session %u: no relayed address", n);
        s->authenticated = s->step == STEP_ALLOCATE;
        s->step = STEP_BIND;
    } else {
        s->step = s->step == STEP_BIND ? STEP_READY : STEP_NONE;
    }
}

bool session_answer(struct generator *g, const struct datagram *datagram, uint32_t *n)
{
    struct stun_message m;
    uint32_t parts[3];
    if (!stun_parse(datagram->bytes, datagram->length, &m) || m.class == STUN_REQUEST)
        return false;
    memcpy(parts, m.transaction, sizeof parts);
    if (parts[0] != transaction_mark || parts[1] >= SESSIONS_MAX ||
        datagram->destination != client_address(g, parts[1]))
        return false;
    struct session *s = &g->sessions[parts[1]];
    if (parts[2] != ((uint32_t)s->step << 8 | s->tries))
        return false;
    if (m.class == STUN_ERROR)
        take_error(g, s, parts[1], &m);
    else
        take_success(g, s, parts[1], &m);
    s->tries++;
    *n = parts[1];
    return true;
}
