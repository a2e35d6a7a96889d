// The little of STUN and TURN (RFC 8489, RFC 8656) that a benchmark's client needs: IPv4, long-term credentials, MD5.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STUN_HEADER_BYTES = 20,
    STUN_TRANSACTION_BYTES = 12,
    STUN_KEY_BYTES = 16,
    STUN_MESSAGE_MAX = 1024,
};

enum stun_method { STUN_BINDING = 0x001, STUN_ALLOCATE = 0x003, STUN_REFRESH = 0x004, STUN_CHANNEL_BIND = 0x009 };
enum stun_class { STUN_REQUEST = 0x000, STUN_SUCCESS = 0x100, STUN_ERROR = 0x110 };

enum stun_attribute {
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_CHANNEL_NUMBER = 0x000C,
    STUN_LIFETIME = 0x000D,
    STUN_XOR_PEER_ADDRESS = 0x0012,
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    STUN_XOR_RELAYED_ADDRESS = 0x0016,
    STUN_REQUESTED_TRANSPORT = 0x0019,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
};

// A message in the making; `length` counts the header.
struct stun_writer {
    uint8_t bytes[STUN_MESSAGE_MAX];
    size_t length;
};

// A message that was read: borrows its bytes.
struct stun_message {
    const uint8_t *bytes;
    size_t length;
    uint16_t method;
    uint16_t class;
    const uint8_t *transaction;
};

// One attribute's value: borrows its bytes.
struct stun_value {
    const uint8_t *bytes;
    size_t length;
};

void stun_begin(struct stun_writer *w, unsigned method, unsigned class, const uint8_t *transaction);
void stun_put(struct stun_writer *w, uint16_t attribute, const void *value, size_t length);
void stun_put_u32(struct stun_writer *w, uint16_t attribute, uint32_t value);
void stun_put_xor_address(struct stun_writer *w, uint16_t attribute, const struct sockaddr_in *address);

bool stun_parse(const uint8_t *bytes, size_t length, struct stun_message *message);
bool stun_find(const struct stun_message *m, uint16_t attribute, struct stun_value *value);
bool stun_xor_address(const struct stun_message *m, uint16_t attribute, struct sockaddr_in *address);
// The number in ERROR-CODE, such as 401; 0 when there is none.
unsigned stun_error_code(const struct stun_message *m);

// MD5(user ":" realm ":" password), RFC 8489 section 9.2.2.
void stun_long_term_key(const char *user, const char *realm, size_t realm_length, const char *password,
                        uint8_t key[STUN_KEY_BYTES]);
// Appends MESSAGE-INTEGRITY (HMAC-SHA1).
void stun_sign(struct stun_writer *w, const uint8_t key[STUN_KEY_BYTES]);
// Whether MESSAGE-INTEGRITY is there and right.
bool stun_verify(const struct stun_message *m, const uint8_t key[STUN_KEY_BYTES]);
