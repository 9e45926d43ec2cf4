/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wireshark's own tables over our flows: Conversations, Endpoints, and the conversation filter. */
#ifndef FS_PLUGIN_CONV_H
#define FS_PLUGIN_CONV_H

void fs_conv_register(int proto);

#endif
