/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tools > Flowscope in Wireshark's window: what can be asked about the selected packet. */
#ifndef FS_PLUGIN_MENU_H
#define FS_PLUGIN_MENU_H

void fs_menu_register(int proto); /* harmless where there is no window */

#endif
