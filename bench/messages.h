/* SPDX-License-Identifier: MIT */
/* Messages as JSON, for programs: every text whole, no number rounded. */
#ifndef FLOWSCOPE_BENCH_MESSAGES_H
#define FLOWSCOPE_BENCH_MESSAGES_H

#include "flowscope/session.h"

/* One object and a line end to standard output. Bytes of the traffic that are not ASCII text are \u00NN, one for each
 * byte: read the string as Latin-1 to get the bytes back. */
void print_message_json(uint64_t flow, const struct fs_message *message);

#endif
