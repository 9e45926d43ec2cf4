/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place that knows that Wireshark 4.0, 4.2, 4.4 and 4.6 differ. Include it before any Wireshark header. */
#ifndef FS_PLUGIN_COMPAT_H
#define FS_PLUGIN_COMPAT_H

/* Wireshark's headers are not self-contained without these. */
#include <wireshark.h>
#include <ws_version.h>

#define FS_WIRESHARK (WIRESHARK_VERSION_MAJOR * 100 + WIRESHARK_VERSION_MINOR)

#include <epan/packet.h>

#include <epan/addr_resolv.h>
#include <epan/conversation_filter.h>
#include <epan/conversation_table.h>
#include <epan/dissectors/packet-ip.h>
#include <epan/epan_dissect.h>
#include <epan/exceptions.h>
#include <epan/expert.h>
#include <epan/export_object.h>
#include <epan/follow.h>
#include <epan/prefs.h>
#include <epan/proto_data.h>
#include <epan/stat_tap_ui.h>
#include <epan/stats_tree.h>
#include <epan/tap.h>
#include <epan/tfs.h>
#include <epan/to_str.h>
#include <epan/unit_strings.h>
#include <wiretap/wtap.h>

#if FS_WIRESHARK >= 402
#include <wsutil/plugins.h>
#endif

#include <stdbool.h>
#include <stdint.h>

/* Preferences point at it, callbacks return it. */
#if FS_WIRESHARK < 404
typedef gboolean fs_bool;
#else
typedef bool fs_bool;
#endif

/* Units: a macro since 4.2. */
#ifndef UNS
#define UNS(units) (units)
#endif

/* Callback of a -z argument: may refuse it since 4.6; before, taps end the program. */
#if FS_WIRESHARK >= 406
#define FS_TAP_INIT_RESULT bool
#define FS_TAP_INIT_OK return true
#define FS_TAP_INIT_FAIL return false
#else
#define FS_TAP_INIT_RESULT void
#define FS_TAP_INIT_OK return
#define FS_TAP_INIT_FAIL exit(1)
#endif

/* Conversation filters. */
#if FS_WIRESHARK >= 402
#define FS_FILTER_ARGUMENTS packet_info *pinfo, void *user_data _U_
#define FS_REGISTER_FILTER(proto, name, valid, build) register_conversation_filter(proto, name, valid, build, NULL)
#else
#define FS_FILTER_ARGUMENTS packet_info *pinfo
#define FS_REGISTER_FILTER(proto, name, valid, build) register_conversation_filter(proto, name, valid, build)
#endif

/* Follow Stream: how many streams there are is asked since 4.2. */
#if FS_WIRESHARK >= 402
#define FS_REGISTER_FOLLOW(proto, tap, conv, index, address, port, packet, count)                                      \
    register_follow_stream(proto, tap, conv, index, address, port, packet, count, NULL)
#define FS_FOLLOW_ARGUMENTS epan_dissect_t *edt _U_, packet_info *pinfo, unsigned *stream, unsigned *sub_stream _U_
#else
#define FS_REGISTER_FOLLOW(proto, tap, conv, index, address, port, packet, count)                                      \
    register_follow_stream(proto, tap, conv, index, address, port, packet)
#define FS_FOLLOW_ARGUMENTS epan_dissect_t *edt _U_, packet_info *pinfo, guint *stream, guint *sub_stream _U_
#endif

/* Submenus of stats trees. */
#ifdef STATS_TREE_MENU_SEPARATOR
#define FS_STATS_TREE_SEPARATOR STATS_TREE_MENU_SEPARATOR
#else
#define FS_STATS_TREE_SEPARATOR "/"
#endif

#define FS_LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
