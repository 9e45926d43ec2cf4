/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of frames, one by one and by where they were captured: -z flowscope,duplicates, and two tables of the
 * Statistics menu. */
#ifndef FS_PLUGIN_DUPLICATE_TABLE_H
#define FS_PLUGIN_DUPLICATE_TABLE_H

void fs_duplicate_table_register(void);

#endif
