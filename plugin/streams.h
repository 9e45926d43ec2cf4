/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,streams,DIR[,FILTER]: the TCP streams of a capture as files. */
#ifndef FS_PLUGIN_STREAMS_H
#define FS_PLUGIN_STREAMS_H

void fs_streams_register(void);

/* Before the file's flows are forgotten: what listeners have of them is to stay. */
void fs_streams_keep(void);

#endif
