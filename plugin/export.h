/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,export,FORMAT,PATH[,FILTER]: records of the flows, written as these end. */
#ifndef FS_PLUGIN_EXPORT_H
#define FS_PLUGIN_EXPORT_H

#include "compat.h"

void fs_export_register_taps(int proto); /* before anybody listens */
void fs_export_register(void);

/* Whether what is said in flows is written, too. */
bool fs_export_wants_messages(void);

/* The frame has been dissected: offer it to whoever lists records as export objects. */
void fs_export_queue(packet_info *pinfo);

/* The file is about to be closed: its flows end, and are written. */
void fs_export_keep(void);

#endif
