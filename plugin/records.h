/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the store knows of a flow, as a record. */
#ifndef FS_PLUGIN_RECORDS_H
#define FS_PLUGIN_RECORDS_H

#include "pack.h"

#include "flowscope/record.h"

/* Fill `record` from facts as fs_store_tracked() has them. Its carrier is looked up in the store: the uid is missing if
 * that was forgotten. */
void fs_record_from_facts(struct fs_record_flow *record, const struct fs_flow_facts *facts);

/* Options of a writer of this capture: under the preferences that hold for it. */
struct fs_record_options fs_record_options_of(enum fs_record_format format,
                                              int (*write)(const char *bytes, size_t length, void *user), void *user);

#endif
