#include "stun.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum { SHA1_BYTES = 20 };

void stun_long_term_key(const char *user, const char *realm, size_t realm_length, const char *password,
                        uint8_t key[STUN_KEY_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, EVP_md5(), NULL))
        abort();
    EVP_DigestUpdate(context, user, strlen(user));
    EVP_DigestUpdate(context, ":", 1);
    EVP_DigestUpdate(context, realm, realm_length);
    EVP_DigestUpdate(context, ":", 1);
    EVP_DigestUpdate(context, password, strlen(password));
    EVP_DigestFinal_ex(context, key, NULL);
    EVP_MD_CTX_free(context);
}

// The HMAC over `length` bytes, with the header's length field set as if the message ended after MESSAGE-INTEGRITY.
static void message_hmac(const uint8_t *bytes, size_t length, const uint8_t *key, uint8_t out[SHA1_BYTES])
{
    uint8_t copy[STUN_MESSAGE_MAX];
    if (length > sizeof copy)
        abort();
    memcpy(copy, bytes, length);
    size_t signed_length = length - STUN_HEADER_BYTES + 4 + SHA1_BYTES;
    copy[2] = signed_length >> 8;
    copy[3] = signed_length;
    if (!HMAC(EVP_sha1(), key, STUN_KEY_BYTES, copy, length, out, NULL))
        abort();
}

void stun_sign(struct stun_writer *w, const uint8_t key[STUN_KEY_BYTES])
{
    uint8_t hmac[SHA1_BYTES];
    message_hmac(w->bytes, w->length, key, hmac);
    stun_put(w, STUN_MESSAGE_INTEGRITY, hmac, sizeof hmac);
}

bool stun_verify(const struct stun_message *m, const uint8_t key[STUN_KEY_BYTES])
{
    struct stun_value value;
    if (!stun_find(m, STUN_MESSAGE_INTEGRITY, &value) || value.length != SHA1_BYTES || m->length > STUN_MESSAGE_MAX)
        return false;
    uint8_t hmac[SHA1_BYTES];
    message_hmac(m->bytes, value.bytes - 4 - m->bytes, key, hmac);
    return memcmp(hmac, value.bytes, SHA1_BYTES) == 0;
}
