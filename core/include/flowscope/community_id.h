/* SPDX-License-Identifier: MIT */
/** @file community_id.h
 * Community ID, version 1: the name that different tools give to one flow
 * (https://github.com/corelight/community-id-spec). Equal for both directions.
 */
#ifndef FLOWSCOPE_COMMUNITY_ID_H
#define FLOWSCOPE_COMMUNITY_ID_H

#include "flowscope/key.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** "1:", 28 characters of base64, and the NUL. */
enum { FS_COMMUNITY_ID_SIZE = 2 + 28 + 1 };

/** Write the Community ID of a flow to `text` and return its length, 30. `seed` is the specification's; 0 unless a site
 * chose another. ICMP and ICMPv6 types stand for ports as the specification says. Protocols without ports, such as
 * RSVP, are named by their addresses; SCTP has ports. Keys that are no 5-tuple of IP have no Community ID: the text is
 * then empty and the result 0. The domain of the key does not enter. */
size_t fs_community_id(const struct fs_key *key, uint16_t seed, char text[FS_COMMUNITY_ID_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
