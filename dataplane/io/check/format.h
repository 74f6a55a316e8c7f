/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The datagrams by which two ends check a port. Pure. They are no packets of a session (PROTOCOL.md) and nothing of
 * them is secret: who sees the link sees them, and who is on it can send such. They are little-endian:
 *
 *   0  u32 magic "CWpc"    4  u8 version (1)   5  u8 kind     6  u16 size of the datagram
 *   8  u32 run             12 u32 stage        16 u8 flags    17 u8 lane << 2      18 u16 0
 *  20  u32 0               24 u64 sequence     32 u64 sent, ns of the sender's clock
 *  40  u64 hash of bytes 0..39 and, with CW_CHECK_WHOLE, of what follows
 *  48  a report, or anything
 *
 * The lane stands where that of a session's packet does, so that a port with several queues sorts them as those
 * (wire/packet.h).
 *
 *      one end                                   the other (the answerer)
 *      ASK, stage n  ------------------------->  a stage that is new: its counts begin at 0
 *                    <-------------------------  REPORT, of the same length
 *      DATA or ECHO, of that stage  ---------->  counted; an ECHO goes back as ECHOED, of the same length
 *      ASK, stage n, again  ------------------>  REPORT: what has arrived
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_CHECK_HEADER_BYTES 48u
#define CW_CHECK_REPORT_BYTES 192u /* an ASK is as long: no answer is longer than what asks */
#define CW_CHECK_BYTES_MAX    9600u
#define CW_CHECK_QUEUES_MAX   4u

enum cw_check_kind {
    CW_CHECK_DATA = 1,
    CW_CHECK_ECHO,
    CW_CHECK_ECHOED,
    CW_CHECK_ASK,
    CW_CHECK_REPORT,
    CW_CHECK_KIND_END
};

#define CW_CHECK_WHOLE       0x01u /* all bytes are hashed, not only the header */
#define CW_CHECK_SOFTWARE    0x02u /* what answers it shall go with checksums by software */
#define CW_CHECK_FLAGS_KNOWN 0x03u

struct cw_check_datagram {
    enum cw_check_kind kind;
    uint8_t flags, lane;
    uint16_t size;
    uint32_t run, stage;
    uint64_t sequence, sent_ns;
};

/* What an answerer has seen of a stage, and what its port is. */
struct cw_check_report {
    uint64_t arrived, bytes; /* datagrams, and of their frames */
    uint64_t first_ns, last_ns;
    uint64_t answered, not_answered; /* echoes; the second: its port had no room */
    uint64_t wrong_sums, called_good;
    uint64_t not_ours, garbage;
    uint64_t by_queue[CW_CHECK_QUEUES_MAX]; /* frames, where the device put them */
    uint32_t mtu, queues;
    bool does_send_sums, does_check_sums; /* the device */
};

enum cw_check_error {
    CW_CHECK_OK = 0,
    CW_CHECK_SHORT,
    CW_CHECK_ALIEN,   /* another magic or version */
    CW_CHECK_FIELD,   /* a kind, flag or lane that there is not, or not 0 where 0 is to be */
    CW_CHECK_SIZE,    /* its size, or that of its kind, disagrees with the datagram's */
    CW_CHECK_DAMAGED, /* the hash */
    CW_CHECK_ERROR_COUNT
};

/* Writes the header in front of what stands behind it, and the hash. datagram->size bytes in all. */
void cw_check_write(const struct cw_check_datagram *datagram, uint8_t *bytes);
/* Foreign bytes. */
enum cw_check_error cw_check_read(const uint8_t *bytes, size_t length, struct cw_check_datagram *datagram);
/* At bytes[CW_CHECK_HEADER_BYTES], before cw_check_write; up to CW_CHECK_REPORT_BYTES. */
void cw_check_report_write(const struct cw_check_report *report, uint8_t *bytes);
/* Of a REPORT that cw_check_read took. False: numbers that cannot be. */
bool cw_check_report_read(const uint8_t *bytes, struct cw_check_report *report);
