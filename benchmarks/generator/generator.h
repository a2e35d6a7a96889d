// A TURN client and its peers in one single-threaded program: makes allocations with channels, then sends at a given
// rate and checks everything that comes back. Clients and peers are addresses of two ranges that the host routes to
// itself, so ten thousand five-tuples need two sockets.
#pragma once

#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../wire/stun.h"

enum {
    SESSIONS_MAX = 16000,
    CLIENT_PORT = 20000,
    PEER_PORT = 30000,
    NONCE_MAX = 160,
    REALM_MAX = 256,
    PAYLOAD_MIN = 16,
    PAYLOAD_MAX = 1400,
    BURST_MAX = 32,
    CHANNEL_FIRST = 0x4000,
    CHANNEL_COUNT = 0x0FFF,     // RFC 8656 section 12: 0x4000 to 0x4FFE here
    CHANNEL_HEADER_BYTES = 4,
};

struct options {
    const char *interface;
    uint8_t gateway[6];         // MAC address of the server's side of the link
    struct sockaddr_in server;
    const char *user, *password;
    uint32_t first_client, first_peer;  // host order; session n has the address n above
    const char *object;         // of the kernel half; NULL: traffic through a packet socket, without it
    const char *spare;          // an interface that the generating program may be attached to
    const char *peer_interface; // where peers are, when not where clients are
    uint8_t peer_gateway[6];
};

// The way of a datagram through the relay.
enum direction { UP, DOWN };    // client to peer, peer to client

enum step { STEP_NONE, STEP_CHALLENGE, STEP_ALLOCATE, STEP_BIND, STEP_READY, STEP_RELEASE };

struct session {
    enum step step;
    uint8_t tries;
    bool authenticated;         // the server asked for credentials and took them
    uint16_t channel;
    uint16_t nonce_bytes;
    uint8_t nonce[NONCE_MAX];
    struct sockaddr_in relayed;
    uint64_t sent_at;           // nanoseconds; of the request under way
    uint32_t next_sequence[2];  // by direction
    uint32_t seen_sequence[2];  // one more than the highest that arrived
};

struct datagram {
    const uint8_t *bytes;
    size_t length;
    struct sockaddr_in source;
    uint32_t destination;       // host order
};

struct generator {
    struct options options;
    int clients, peers;         // UDP sockets of all clients, of all peers
    int frames;                 // AF_PACKET socket that sends prebuilt frames
    int interface_index;
    uint8_t mac[6], peer_mac[6];
    struct link *link;          // NULL without the kernel half
    bool pairs;                 // session n's peer is the relayed address of session n ^ 1
    struct session *sessions;
    unsigned session_count;     // sessions 0..<session_count are ready
    uint64_t bound_at;          // nanoseconds; the last ChannelBind of all sessions
    char realm[REALM_MAX];
    size_t realm_bytes;
    uint8_t key[STUN_KEY_BYTES];
    uint32_t run;               // number of the traffic run, in every payload
};

uint64_t now_ns(void);
// Ends the program with a message; `errno` is added when it is not 0.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct options parse_options(int argc, char **argv);
void open_endpoints(struct generator *g);

static inline uint32_t client_address(const struct generator *g, uint32_t n) { return g->options.first_client + n; }
static inline uint32_t peer_address(const struct generator *g, uint32_t n) { return g->options.first_peer + n; }

// The peer that session `n` binds its channel to.
struct sockaddr_in peer_of(const struct generator *g, uint32_t n);

// Sends one datagram of client `n` to the server.
void send_as_client(struct generator *g, uint32_t n, const void *bytes, size_t length);

// Hands every datagram of at most one batch to `visit`. Never waits. Returns how many datagrams there were.
typedef void visitor(void *context, const struct datagram *datagram);
unsigned receive_batch(int socket, visitor *visit, void *context);

// session.c: one request and one answer at a time.
void session_send(struct generator *g, uint32_t n);
// The step after a right answer, or the same step again after a new nonce; false when the answer is not ours.
// Ends the program on an error that no retry mends.
bool session_answer(struct generator *g, const struct datagram *datagram, uint32_t *n);

// control.c: many sessions through their steps, at most `window` at a time.
struct control_result {
    unsigned done, retransmissions;
    double seconds;
};
struct control_result allocate_sessions(struct generator *g, unsigned count, unsigned window);
// Takes `count` sessions for ready without asking the server: for one that sends back what it gets.
void assume_sessions(struct generator *g, unsigned count);
struct control_result rebind_sessions(struct generator *g, unsigned window);
struct control_result release_sessions(struct generator *g, unsigned window);

// payload.c: a payload says which run, session, direction and number it is, and every other byte follows from that.
void payload_write(uint8_t *bytes, size_t length, uint32_t run, uint32_t session, uint32_t sequence, enum direction d);
enum payload_check { PAYLOAD_RIGHT, PAYLOAD_CORRUPT, PAYLOAD_STALE };
enum payload_check payload_read(const uint8_t *bytes, size_t length, uint32_t run, enum direction d, uint32_t *session,
                                uint32_t *sequence);

// frame.c: `burst` datagrams as one frame that the kernel cuts (or hands over whole), with right checksums.
enum { FRAME_ROOM = 10 + 14 + 20 + 8 + BURST_MAX * (CHANNEL_HEADER_BYTES + PAYLOAD_MAX) };
size_t frame_write(struct generator *g, uint8_t *room, uint32_t n, enum direction d, size_t payload, unsigned burst);

// One run of traffic.
struct shape {
    bool up, down;
    unsigned sessions, burst;
    size_t payload;             // bytes of the smallest payload
    unsigned spread;            // a session's payloads grow by a byte each, `spread` sizes over and over: GSO joins no
                                // datagram to a smaller one before it
    double rate, seconds;       // datagrams a second
};

// sink.c: what arrived.
// What arrives so long after the last send still counts as relayed in time: a server may have that much under way, but
// no more, or a rate would hold because buffers are deep.
enum { GRACE_US = 20000 };

struct tally {
    uint64_t received, corrupted, misdelivered, reordered, stale, unexpected;
    uint64_t last_arrival;      // nanoseconds
};
struct sink {
    struct generator *generator;
    const struct shape *shape;
    struct tally tally;
};
void sink_drain(struct sink *sink);

// traffic.c
void run_traffic(struct generator *g, const struct shape *shape);

// link.c: the kernel half; ends the program when the kernel lacks something.
void link_open(struct generator *g);

// frames.c: one run of traffic as single frames, sent and counted in the kernel.
enum way {
    WAY_RELAY,                  // client to peer, peer to client
    WAY_PAIRS,                  // client to client, through both their allocations
    WAY_ECHO,                   // back to the client that sent it
};
struct frames_shape {
    enum way way;
    unsigned directions;        // bits, by enum direction
    unsigned sessions, burst;
    size_t payload;             // bytes, a multiple of four
    double rate, seconds;       // datagrams a second; 0: as many as it can
    bool stamps;                // measures the time of each on its way
    uint64_t period_ns;         // each session and direction sends one burst in each period; 0: by the rate
};
void run_frames(struct generator *g, const struct frames_shape *shape);
