/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "argument.h"

#include <stdio.h>
#include <unistd.h>

void fs_argument_refuse(const char *argument) {
    fprintf(stderr, "tshark: -z %s is not known; accepted are %s\n", argument, FS_ARGUMENTS);
}

static void leave(void) {
    (void)fflush(NULL);
    _exit(1);
}

void fs_argument_fail_later(void) {
    static bool asked;
    if (!asked)
        asked = atexit(leave) == 0;
}

bool fs_argument_filter(const char *argument, const char *name, const char **filter) {
    size_t length = strlen(name);
    *filter = NULL;
    if (strncmp(argument, name, length) != 0 || (argument[length] != ',' && argument[length] != '\0')) {
        fs_argument_refuse(argument);
        return false;
    }
    if (argument[length] == ',' && argument[length + 1] != '\0')
        *filter = argument + length + 1;
    return true;
}

bool fs_argument_listen(const char *tap, void *data, const char *filter, tap_reset_cb reset, tap_packet_cb packet,
                        tap_draw_cb draw, tap_finish_cb finish) {
    GString *error = register_tap_listener(tap, data, filter, TL_REQUIRES_NOTHING, reset, packet, draw, finish);
    if (!error)
        return true;
    g_strdelimit(error->str, "\n", ' ');
    fprintf(stderr, "tshark: -z flowscope: bad display filter: %s\n", error->str);
    g_string_free(error, TRUE);
    return false;
}
