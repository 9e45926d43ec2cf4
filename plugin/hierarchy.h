/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows by protocol, application and state: -z flowscope_tree,tree and Statistics > Flowscope > Hierarchy. */
#ifndef FS_PLUGIN_HIERARCHY_H
#define FS_PLUGIN_HIERARCHY_H

void fs_hierarchy_register(void);

/* The file is about to be closed: flows of the next one have the same numbers. */
void fs_hierarchy_keep(void);

#endif
