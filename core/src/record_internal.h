/* SPDX-License-Identifier: MIT */
/* What the writers share. Each gets room for a whole line and leaves out its end. */
#ifndef FS_RECORD_INTERNAL_H
#define FS_RECORD_INTERNAL_H

#include "flowscope/record.h"
#include "text.h"

void fs__csv_header(struct fs__line *line);
void fs__csv_record(struct fs__line *line, const struct fs_record_flow *record,
                    const struct fs_record_options *options);

/* False if the format cannot express the record. */
bool fs__eve_record(struct fs__line *line, const struct fs_record_flow *record,
                    const struct fs_record_options *options);
bool fs__eve_message(struct fs__line *line, const struct fs_record_flow *record, const struct fs_message *message,
                     const struct fs_record_options *options);
bool fs__eve_anomaly(struct fs__line *line, const struct fs_record_flow *record,
                     const struct fs_record_anomaly *anomaly, const struct fs_record_options *options);

void fs__zeek_header(struct fs__line *line, const struct fs_record_options *options);
bool fs__zeek_record(struct fs__line *line, const struct fs_record_flow *record,
                     const struct fs_record_options *options);
void fs__zeek_footer(struct fs__line *line, uint64_t close_ns);

/* Suricata's flow_id of a flow, from its uid: 51 bits, so that JSON readers with doubles keep it. */
uint64_t fs__flow_id_of_uid(const char *uid);

/* Whether the flow has ports that mean ports. */
bool fs__has_ports(const struct fs_key *key);
bool fs__is_icmp(const struct fs_key *key);
bool fs__is_ip(const struct fs_key *key);

#endif
