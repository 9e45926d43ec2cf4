/* SPDX-License-Identifier: MIT */
/** @file replay_main.c
 * Runs a fuzz target over files and folders of inputs, without libFuzzer: any compiler, any sanitizer, any machine.
 *
 *     replay_TARGET PATH...
 *
 * Each input is also cut short at every length up to 256 bytes, as a capture would cut it.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_CUT = 256 };

static size_t files_run;

/* A copy of its own for each run, so that a sanitizer sees the first byte that is read past the end. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        perror("malloc");
        exit(1);
    }
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(size > 0 ? copy : NULL, size);
    free(copy);
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    uint8_t *data = NULL;
    size_t used = 0;
    size_t room = 0;
    for (;;) {
        if (used == room) {
            room = room == 0 ? 4096 : room * 2;
            uint8_t *larger = realloc(data, room);
            if (larger == NULL) {
                break;
            }
            data = larger;
        }
        size_t got = fread(data + used, 1, room - used, file);
        used += got;
        if (got == 0) {
            break;
        }
    }
    int failed = ferror(file) || used == room;
    fclose(file);
    if (failed) {
        free(data);
        return NULL;
    }
    *size = used;
    return data;
}

static int run_file(const char *path) {
    size_t size = 0;
    uint8_t *data = read_file(path, &size);
    if (data == NULL) {
        fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
        return 1;
    }
    run(data, size);
    for (size_t cut = 0; cut < size && cut < MAX_CUT; cut++) {
        run(data, cut);
    }
    free(data);
    files_run++;
    return 0;
}

static int run_path(const char *path);

static int run_folder(const char *path, DIR *folder) {
    int failures = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        size_t room = strlen(path) + strlen(entry->d_name) + 2;
        char *inner = malloc(room);
        if (inner == NULL) {
            perror("malloc");
            exit(1);
        }
        snprintf(inner, room, "%s/%s", path, entry->d_name);
        failures += run_path(inner);
        free(inner);
    }
    return failures;
}

static int run_path(const char *path) {
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return run_file(path);
    }
    int failures = run_folder(path, folder);
    closedir(folder);
    return failures;
}

int main(int argc, char **argv) {
    int failures = 0;
    for (int i = 1; i < argc; i++) {
        failures += run_path(argv[i]);
    }
    printf("%zu inputs\n", files_run);
    if (files_run == 0) {
        fprintf(stderr, "no inputs: nothing was tested\n");
        return 1;
    }
    return failures > 0 ? 1 : 0;
}
