/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File > Export Objects > Flowscope and --export-objects flowscope,DIR: the records of the whole capture, once in each
 * format. */
#ifndef FS_PLUGIN_EXPORT_OBJECTS_H
#define FS_PLUGIN_EXPORT_OBJECTS_H

#include "compat.h"

void fs_export_objects_register(int proto);
void fs_export_objects_queue(packet_info *pinfo);

#endif
