/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -z flowscope,anomalies[,FILTER] and the table of the same name: one row an anomaly. */
#ifndef FS_PLUGIN_ANOMALIES_H
#define FS_PLUGIN_ANOMALIES_H

void fs_anomalies_register(void);

#endif
