/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields, packet details and expert infos. */
#ifndef FS_PLUGIN_FIELDS_H
#define FS_PLUGIN_FIELDS_H

#include "store.h"

void fs_fields_register(int proto);

/* Add what is known of the frame to its tree, which may be NULL: expert infos need none. `reject` says why the frame
 * belongs to no flow, if it does not. */
void fs_fields_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct fs_seen *seen, unsigned count,
                    int reject);

#endif
