// Layout, all in host order (sender and receiver are one program): run, session, sequence, check; then noise from an
// offset that session and sequence choose, so that bytes of another datagram never fit.
#include "generator.h"

#include <string.h>

enum { NOISE_OFFSETS = 1024 };

static uint8_t noise[NOISE_OFFSETS + PAYLOAD_MAX];

static void make_noise(void)
{
    uint64_t state = 0x9E3779B97F4A7C15;
    for (size_t i = 0; i < sizeof noise; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        noise[i] = state >> 56;
    }
}

static uint32_t check_of(uint32_t run, uint32_t session, uint32_t sequence, enum direction d)
{
    uint32_t h = run * 0x9E3779B1 ^ session * 0x85EBCA77 ^ sequence * 0xC2B2AE3D ^ (uint32_t)d * 0x27D4EB2F;
    return h ^ h >> 15;
}

void payload_write(uint8_t *bytes, size_t length, uint32_t run, uint32_t session, uint32_t sequence, enum direction d)
{
    if (noise[0] == 0 && noise[1] == 0)
        make_noise();
    uint32_t check = check_of(run, session, sequence, d);
    uint32_t head[4] = {run, session, sequence, check};
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, noise + check % NOISE_OFFSETS, length - sizeof head);
}

enum payload_check payload_read(const uint8_t *bytes, size_t length, uint32_t run, enum direction d, uint32_t *session,
                                uint32_t *sequence)
{
    uint32_t head[4];
    memcpy(head, bytes, sizeof head);
    uint32_t check = check_of(head[0], head[1], head[2], d);
    if (head[3] != check ||
        memcmp(bytes + sizeof head, noise + check % NOISE_OFFSETS, length - sizeof head) != 0)
        return PAYLOAD_CORRUPT;
    *session = head[1];
    *sequence = head[2];
    return head[0] == run ? PAYLOAD_RIGHT : PAYLOAD_STALE;
}
