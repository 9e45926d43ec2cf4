/* SPDX-License-Identifier: MIT */
/** @file flowscope.h
 * All public headers. Start with pipeline.h, or use the stages alone: extract.h, tracker.h.
 */
#ifndef FLOWSCOPE_FLOWSCOPE_H
#define FLOWSCOPE_FLOWSCOPE_H

#include "flowscope/allocator.h"
#include "flowscope/community_id.h"
#include "flowscope/dedup.h"
#include "flowscope/dns.h"
#include "flowscope/error.h"
#include "flowscope/extract.h"
#include "flowscope/flow.h"
#include "flowscope/http.h"
#include "flowscope/key.h"
#include "flowscope/length_prefixed.h"
#include "flowscope/packet.h"
#include "flowscope/parser.h"
#include "flowscope/pipeline.h"
#include "flowscope/reassembler.h"
#include "flowscope/record.h"
#include "flowscope/session.h"
#include "flowscope/stream_buffer.h"
#include "flowscope/tls.h"
#include "flowscope/tracker.h"
#include "flowscope/version.h"

#endif
