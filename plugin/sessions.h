/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,sessions[,FILTER] and the table of the same name: one row an exchange, and response times. */
#ifndef FS_PLUGIN_SESSIONS_H
#define FS_PLUGIN_SESSIONS_H

#include <stdbool.h>

void fs_sessions_register(void);

/* Whether somebody listens who needs messages. */
bool fs_sessions_are_wanted(void);

/* Before the file's messages are forgotten: what listeners have of them is to stay. */
void fs_sessions_keep(void);

#endif
