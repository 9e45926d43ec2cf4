/* SPDX-License-Identifier: MIT */
/* Names of the wire: RFC 1035, 3.1 and 4.1.4; the hazards of compression: RFC 9267. */
#include "bytes.h"
#include "dns_internal.h"

enum { POINTER = 0xc0, LABEL_MAX = 63 };

enum fs__dns_status fs__dns_name_skip(const uint8_t *data, size_t length, size_t at, size_t *next) {
    size_t start = at;
    *next = 0;
    while (at < length) {
        uint8_t head = data[at];
        if ((head & POINTER) == POINTER) {
            if (length - at < 2)
                return FS__DNS_SHORT;
            *next = at + 2;
            return FS__DNS_GOOD;
        }
        if (head > LABEL_MAX || at + 1 + head - start > FS_DNS_WIRE_NAME_MAX)
            return FS__DNS_BAD;
        at += 1u + head;
        if (!head) {
            *next = at;
            return FS__DNS_GOOD;
        }
    }
    return FS__DNS_SHORT;
}

enum fs__dns_status fs__dns_name_read(struct fs__dns_name *name, const uint8_t *data, size_t length, size_t at,
                                      size_t *next) {
    size_t used = 0, run = at, jumps = 0;
    name->length = 0;
    enum fs__dns_status status = fs__dns_name_skip(data, length, at, next);
    if (status != FS__DNS_GOOD)
        return status;
    while (at < length) {
        uint8_t head = data[at];
        if ((head & POINTER) == POINTER) {
            if (length - at < 2)
                return FS__DNS_SHORT;
            at = fs__be16(data + at) & 0x3fffu;
            if (at >= run || at < FS__DNS_HEADER || ++jumps > FS__DNS_JUMPS_MAX)
                return FS__DNS_BAD;
            run = at;
            continue;
        }
        if (head > LABEL_MAX || used + 1 + head > FS_DNS_WIRE_NAME_MAX)
            return FS__DNS_BAD;
        if (length - at < 1u + head)
            return FS__DNS_SHORT;
        memcpy(name->wire + used, data + at, 1u + head);
        used += 1u + head;
        at += 1u + head;
        if (!head) {
            name->length = (uint8_t)used;
            return FS__DNS_GOOD;
        }
    }
    return FS__DNS_SHORT;
}

size_t fs__dns_name_text(const struct fs__dns_name *name, char *out, size_t room) {
    struct fs__dns_writer writer = {out, room, 0, false};
    size_t at = 0;
    if (room)
        out[0] = '\0';
    if (name->length == 1)
        fs__dns_put_char(&writer, '.');
    while (at + 1 < name->length) {
        uint8_t head = name->wire[at];
        if (at)
            fs__dns_put_char(&writer, '.');
        fs__dns_put_bytes(&writer, name->wire + at + 1, head, '.');
        at += 1u + head;
    }
    return writer.full ? 0 : writer.used;
}
