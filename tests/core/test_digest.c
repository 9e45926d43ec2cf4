/* SPDX-License-Identifier: MIT */
/* The vectors of RFC 1321, A.5, and of FIPS 180-4's examples and NIST's byte-oriented test suite. */
#include "digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct vector {
    const char *text, *digest;
    unsigned repeat;
};

static const struct vector md5_vectors[] = {
    {"", "d41d8cd98f00b204e9800998ecf8427e", 1},
    {"a", "0cc175b9c0f1b6a831c399e269772661", 1},
    {"abc", "900150983cd24fb0d6963f7d28e17f72", 1},
    {"message digest", "f96b697d7cb7938d525a2f31aaf161d0", 1},
    {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b", 1},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f", 1},
    {"1234567890", "57edf4a22be3c955ac49da2e2107b67a", 8},
    {"a", "7707d6ae4e027c70eea2a935c2296f21", 1000000},
};

static const struct vector sha256_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 1},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", 1},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1", 1},
    {"a", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", 1000000},
};

static void test_md5(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(md5_vectors) / sizeof(md5_vectors[0]); i++) {
        const struct vector *vector = &md5_vectors[i];
        struct fs__md5 md5;
        uint8_t digest[FS__MD5_SIZE];
        char text[2 * FS__MD5_SIZE + 1];
        fs__md5_init(&md5);
        for (unsigned n = 0; n < vector->repeat; n++) {
            fs__md5_update(&md5, vector->text, strlen(vector->text));
        }
        fs__md5_final(&md5, digest);
        fs__digest_hex(digest, sizeof(digest), text);
        assert_string_equal(text, vector->digest);
    }
}

static void test_sha256(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(sha256_vectors) / sizeof(sha256_vectors[0]); i++) {
        const struct vector *vector = &sha256_vectors[i];
        struct fs__sha256 sha;
        uint8_t digest[FS__SHA256_SIZE];
        char text[2 * FS__SHA256_SIZE + 1];
        fs__sha256_init(&sha);
        for (unsigned n = 0; n < vector->repeat; n++) {
            fs__sha256_update(&sha, vector->text, strlen(vector->text));
        }
        fs__sha256_final(&sha, digest);
        fs__digest_hex(digest, sizeof(digest), text);
        assert_string_equal(text, vector->digest);
    }
}

/* Lengths around the block and the padding, in one piece and byte by byte. */
static void test_pieces_do_not_matter(void **state) {
    (void)state;
    uint8_t text[200];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 37);
    }
    for (size_t length = 0; length <= sizeof(text); length++) {
        struct fs__md5 md5, md5_pieces;
        struct fs__sha256 sha, sha_pieces;
        fs__md5_init(&md5);
        fs__md5_init(&md5_pieces);
        fs__sha256_init(&sha);
        fs__sha256_init(&sha_pieces);
        fs__md5_update(&md5, text, length);
        fs__sha256_update(&sha, text, length);
        for (size_t i = 0; i < length; i++) {
            fs__md5_update(&md5_pieces, text + i, 1);
            fs__sha256_update(&sha_pieces, text + i, 1);
        }
        uint8_t one[FS__SHA256_SIZE], other[FS__SHA256_SIZE];
        fs__md5_final(&md5, one);
        fs__md5_final(&md5_pieces, other);
        assert_memory_equal(one, other, FS__MD5_SIZE);
        fs__sha256_final(&sha, one);
        fs__sha256_final(&sha_pieces, other);
        assert_memory_equal(one, other, FS__SHA256_SIZE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_pieces_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
