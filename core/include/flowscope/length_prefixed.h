/* SPDX-License-Identifier: MIT */
/** @file length_prefixed.h
 * Messages of a big-endian length of 1, 2 or 4 bytes and a body of that length, as many binary protocols frame theirs.
 * Useful as it is, and a worked example of a parser: all that parser.h asks for, in one short file.
 *
 * Each message is a FS_MESSAGE_NOTICE with exchange 0: framing alone does not tell who asks and who answers. A gap
 * inside a body is counted into it. Any other gap loses that side for good, since nothing tells where the next length
 * stands; once both sides are lost, the parser is poisoned. A length above `largest` poisons it at once.
 */
#ifndef FLOWSCOPE_LENGTH_PREFIXED_H
#define FLOWSCOPE_LENGTH_PREFIXED_H

#include "flowscope/parser.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The parsers of each width, with the defaults of fs_length_prefixed_config. `probe` only tells whether the first
 * length is in range, which is no proof: choose them by port. struct fs_message.detail is a
 * `const struct fs_length_prefixed_message *`. */
extern const struct fs_parser fs_parser_length_prefixed_1;
extern const struct fs_parser fs_parser_length_prefixed_2;
extern const struct fs_parser fs_parser_length_prefixed_4;

struct fs_length_prefixed_message {
    const uint8_t *body; /**< its first `kept` bytes, as they were sent; not NULL; valid during the callback */
    size_t kept;         /**< less than `length` at the cap, after a gap, at the end or without memory */
    uint64_t length;     /**< as declared, the prefix not counted in */
    uint64_t missing;    /**< bytes of the body that lie in gaps or did not come before the end */
};

struct fs_length_prefixed_config {
    uint32_t keep;    /**< bytes of a body that are kept, at most, per side; default 4,096 */
    uint32_t largest; /**< lengths above it are not of this protocol; default 16,777,216 */
};

void fs_length_prefixed_config_defaults(struct fs_length_prefixed_config *config);

/** Create a parser with other settings, to be used with the functions of fs_parser_length_prefixed_<width> in place of
 * what its `create` makes. A parser of your own with these settings is a copy of that table with another name and
 * `create`. Returns NULL without memory or if `width` is not 1, 2 or 4; `config` may be NULL for defaults. */
void *fs_length_prefixed_create(const struct fs_length_prefixed_config *config, unsigned width,
                                const struct fs_parser_host *host);

#ifdef __cplusplus
}
#endif
#endif
