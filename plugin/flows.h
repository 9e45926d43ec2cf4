/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,flows and Statistics > Flowscope Flows. */
#ifndef FS_PLUGIN_FLOWS_H
#define FS_PLUGIN_FLOWS_H

void fs_flows_register(void);

#endif
