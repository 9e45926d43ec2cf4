/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Follow Stream: -z follow,flowscope,MODE,FLOW, and Analyze > Follow > Flowscope Stream. */
#ifndef FS_PLUGIN_FOLLOW_H
#define FS_PLUGIN_FOLLOW_H

void fs_follow_register(int proto);

/* The file is closed: streams that are followed end with it. */
void fs_follow_forget(void);

#endif
