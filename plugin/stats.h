/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope[,stats] and Statistics > Flowscope Summary. */
#ifndef FS_PLUGIN_STATS_H
#define FS_PLUGIN_STATS_H

void fs_stats_register(void);

/* The file is about to be closed: listeners keep what they need of it. */
void fs_stats_keep(void);

#endif
