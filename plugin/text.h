/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows in words: addresses, protocols and marks as users read them. */
#ifndef FS_PLUGIN_TEXT_H
#define FS_PLUGIN_TEXT_H

#include "compat.h"

#include "flowscope/flow.h"

enum { FS_TEXT_ENDPOINT = 64, FS_TEXT_MARKS = 128, FS_TEXT_HISTORY = 512 };

/* "TCP", "MAC", "IP", or a protocol number. */
void fs_text_protocol(const struct fs_flow_info *info, char *text, size_t size);
/* Without a port where there is none; IPv6 in brackets before a port. */
void fs_text_endpoint(const struct fs_flow_info *info, enum fs_side side, char *text, size_t size);
void fs_text_address(const struct fs_flow_info *info, enum fs_side side, char *text, size_t size);
bool fs_text_has_ports(const struct fs_flow_info *info);
/* Names joined by "+", or "-". */
void fs_text_marks(unsigned marks, char *text, size_t size);
/* Zeek's letters in words, each with the direction it went: "→ SYN, ← SYN-ACK, → ACK". */
void fs_text_history(const char *history, char *text, size_t size);
void fs_text_anomalies(unsigned anomalies, char *text, size_t size);

#endif
