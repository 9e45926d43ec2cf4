/* SPDX-License-Identifier: MIT */
/** @file consumer.c
 * What a program of somebody else does with the installed library. Compiled as C and as C++.
 */
#include <flowscope/flowscope.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    struct fs_pipeline *pipeline = fs_pipeline_new(NULL, NULL);
    if (pipeline == NULL) {
        return 1;
    }
    fs_pipeline_reject(pipeline, FS_REJECT_NOT_IP, 60, NULL);
    struct fs_pipeline_stats stats;
    fs_pipeline_get_stats(pipeline, &stats);
    fs_pipeline_free(pipeline);
    if (stats.frames != 1 || stats.frame_bytes != 60) {
        return 1;
    }
    printf("%s\n", fs_version());
    return strcmp(fs_version(), FS_VERSION) == 0 ? 0 : 1;
}
