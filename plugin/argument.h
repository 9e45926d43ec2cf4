/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arguments of -z flowscope. */
#ifndef FS_PLUGIN_ARGUMENT_H
#define FS_PLUGIN_ARGUMENT_H

#include "compat.h"

#define FS_ARGUMENTS                                                                                                   \
    "flowscope[,stats[,FILTER]], flowscope,flows[,FILTER], flowscope,sessions[,FILTER], "                              \
    "flowscope,anomalies[,FILTER], flowscope,duplicates[,FILTER], flowscope,streams,DIR[,FILTER] or "                  \
    "flowscope,export,FORMAT,PATH[,FILTER]"

/* The display filter behind `name` ("flowscope,flows"), NULL if there is none. False, with a line on standard error, if
 * the argument is something else. */
bool fs_argument_filter(const char *argument, const char *name, const char **filter);

/* Listen to a tap; false, with a line on standard error, if the filter is bad. */
bool fs_argument_listen(const char *tap, void *data, const char *filter, tap_reset_cb reset, tap_packet_cb packet,
                        tap_draw_cb draw, tap_finish_cb finish);

/* The program is to return 1 at its end: tshark gives taps no other way to say that they failed. */
void fs_argument_fail_later(void);

/* For -z arguments that are none of ours, but begin like ours. */
void fs_argument_refuse(const char *argument);

#endif
