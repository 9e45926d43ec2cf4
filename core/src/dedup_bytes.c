/* SPDX-License-Identifier: MIT */
#include "dedup_bytes.h"

#include <string.h>

static uint8_t *place_for(struct fs__bytes *bytes, uint64_t size, struct fs__held *held) {
    uint64_t at = bytes->written % bytes->size;
    if (bytes->size - at < size)
        bytes->written += bytes->size - at;
    held->at = bytes->written;
    bytes->written += size;
    return bytes->ring + held->at % bytes->size;
}

void fs__bytes_keep(struct fs__bytes *bytes, const struct fs_dedup_frame *frame, struct fs__held *held) {
    uintptr_t offset = (uintptr_t)frame->ip - (uintptr_t)frame->data;
    bool has_ip = frame->ip && frame->ip_captured;
    bool inside = has_ip && frame->data && (uintptr_t)frame->ip >= (uintptr_t)frame->data &&
                  offset <= frame->captured && frame->ip_captured <= frame->captured - offset;
    uint64_t size = (uint64_t)frame->captured + (has_ip && !inside ? frame->ip_captured : 0);
    *held = (struct fs__held){.at = UINT64_MAX,
                              .captured = frame->captured,
                              .wire_len = frame->wire_len,
                              .linktype = frame->linktype,
                              .ip_at = !has_ip  ? UINT32_MAX
                                       : inside ? (uint32_t)offset
                                                : frame->captured,
                              .ip_captured = frame->ip_captured};
    if (size > bytes->size)
        return;
    uint8_t *place = place_for(bytes, size, held);
    if (frame->data && frame->captured)
        memcpy(place, frame->data, frame->captured);
    if (has_ip && !inside)
        memcpy(place + frame->captured, frame->ip, frame->ip_captured);
}

bool fs__bytes_find(const struct fs__bytes *bytes, const struct fs__held *held, struct fs_dedup_frame *frame) {
    if (held->at == UINT64_MAX || bytes->written - held->at > bytes->size)
        return false;
    const uint8_t *data = bytes->ring + held->at % bytes->size;
    *frame = (struct fs_dedup_frame){.data = data,
                                     .captured = held->captured,
                                     .wire_len = held->wire_len,
                                     .linktype = held->linktype,
                                     .ip = held->ip_at == UINT32_MAX ? NULL : data + held->ip_at,
                                     .ip_captured = held->ip_captured};
    return true;
}
