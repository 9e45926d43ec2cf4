/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,flows and Statistics > Flowscope Flows. */
#ifndef FS_PLUGIN_FLOWS_H
#define FS_PLUGIN_FLOWS_H

void fs_flows_register(void);

/* The file is about to be closed: listeners keep what they need of it. */
void fs_flows_keep(void);

#endif
