/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File > Export Objects > Flowscope and --export-objects flowscope,DIR: the records of the whole capture, once in each
 * format. */
#ifndef FS_PLUGIN_EXPORT_OBJECTS_H
#define FS_PLUGIN_EXPORT_OBJECTS_H

#include "compat.h"

#include "flowscope/record.h"

void fs_export_objects_register(int proto);
void fs_export_objects_queue(packet_info *pinfo);

/* Records of all flows, as they are now; how many is put into `count`. */
GByteArray *fs_export_objects_records(enum fs_record_format format, uint64_t *count);

#endif
