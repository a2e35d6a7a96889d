#include "stun.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t magic_cookie = 0x2112A442;

static void write_u16(uint8_t *p, unsigned v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static void write_u32(uint8_t *p, uint32_t v)
{
    write_u16(p, v >> 16);
    write_u16(p + 2, v & 0xFFFF);
}

static unsigned read_u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

static uint32_t read_u32(const uint8_t *p) { return (uint32_t)read_u16(p) << 16 | read_u16(p + 2); }

void stun_begin(struct stun_writer *w, unsigned method, unsigned class, const uint8_t *transaction)
{
    // All methods used here fit the low four bits, which no class bit splits.
    write_u16(w->bytes, method | class);
    write_u16(w->bytes + 2, 0);
    write_u32(w->bytes + 4, magic_cookie);
    memcpy(w->bytes + 8, transaction, STUN_TRANSACTION_BYTES);
    w->length = STUN_HEADER_BYTES;
}

void stun_put(struct stun_writer *w, uint16_t attribute, const void *value, size_t length)
{
    size_t padded = (length + 3) & ~(size_t)3;
    if (w->length + 4 + padded > sizeof w->bytes)
        abort();
    uint8_t *p = w->bytes + w->length;
    write_u16(p, attribute);
    write_u16(p + 2, length);
    memset(p + 4 + length, 0, padded - length);
    memcpy(p + 4, value, length);
    w->length += 4 + padded;
    write_u16(w->bytes + 2, w->length - STUN_HEADER_BYTES);
}

void stun_put_u32(struct stun_writer *w, uint16_t attribute, uint32_t value)
{
    uint8_t bytes[4];
    write_u32(bytes, value);
    stun_put(w, attribute, bytes, sizeof bytes);
}

void stun_put_xor_address(struct stun_writer *w, uint16_t attribute, const struct sockaddr_in *address)
{
    uint8_t bytes[8] = {0, 1};
    write_u16(bytes + 2, ntohs(address->sin_port) ^ magic_cookie >> 16);
    write_u32(bytes + 4, ntohl(address->sin_addr.s_addr) ^ magic_cookie);
    stun_put(w, attribute, bytes, sizeof bytes);
}

bool stun_parse(const uint8_t *bytes, size_t length, struct stun_message *message)
{
    if (length < STUN_HEADER_BYTES || (bytes[0] & 0xC0) != 0 || read_u32(bytes + 4) != magic_cookie)
        return false;
    if (read_u16(bytes + 2) + (size_t)STUN_HEADER_BYTES != length || length % 4 != 0)
        return false;
    unsigned type = read_u16(bytes);
    *message = (struct stun_message){
        .bytes = bytes,
        .length = length,
        .method = type & 0x000F,
        .class = type & 0x0110,
        .transaction = bytes + 8,
    };
    return (type & ~0x011Fu) == 0;
}

bool stun_find(const struct stun_message *m, uint16_t attribute, struct stun_value *value)
{
    for (size_t at = STUN_HEADER_BYTES; at + 4 <= m->length;) {
        size_t length = read_u16(m->bytes + at + 2);
        if (at + 4 + length > m->length)
            return false;
        if (read_u16(m->bytes + at) == attribute) {
            *value = (struct stun_value){m->bytes + at + 4, length};
            return true;
        }
        at += 4 + ((length + 3) & ~(size_t)3);
    }
    return false;
}

bool stun_xor_address(const struct stun_message *m, uint16_t attribute, struct sockaddr_in *address)
{
    struct stun_value value;
    if (!stun_find(m, attribute, &value) || value.length != 8 || value.bytes[1] != 1)
        return false;
    *address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(read_u16(value.bytes + 2) ^ magic_cookie >> 16),
        .sin_addr.s_addr = htonl(read_u32(value.bytes + 4) ^ magic_cookie),
    };
    return true;
}

unsigned stun_error_code(const struct stun_message *m)
{
    struct stun_value value;
    if (!stun_find(m, STUN_ERROR_CODE, &value) || value.length < 4)
        return 0;
    return (value.bytes[2] & 7) * 100 + value.bytes[3];
}
