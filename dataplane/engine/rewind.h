/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Has this machine gone back to a picture of its memory? A virtual machine that is restored from a snapshot
 * goes on with keys and packet numbers that it may have used since, and a copy of it with those of its twin.
 * Three things tell:
 *
 *   the kernel's log    its driver of the "VM generation ID" device says that it has reseeded its random
 * numbers. At once, where there is such a device (ACPI VMGENID or device tree; Linux 5.18 and later).
 * Linux 6.1 gives it to programs in no other way, nor does any later version yet the wall clock      it does
 * not stand still while the memory lies on a disk: once somebody has set it right, CLOCK_REALTIME has jumped
 * against CLOCK_MONOTONIC. Only then, and nobody may ever do it the peer            it acknowledges what we
 * have not sent yet: the session sees that by itself (cw_session_start_over), within a round trip of being
 * heard
 *
 * A step of less than CW_REWIND_JUMP_NS is one of NTP or a leap second and is nothing; slewing turns both
 * clocks alike. A sleep of the machine (suspend) is a jump too: its sessions are long dead.
 *
 * Thread: control. What is found is told to the net lcore by a count (cw_engine.rewinds).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_REWIND_JUMP_NS (1500ull * 1000 * 1000)

/* Clocks that were read one after the other: CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_MONOTONIC again. */
struct cw_rewind_clocks {
    uint64_t before_ns, wall_ns, after_ns;
};

struct cw_rewind {
    bool has_offset;
    int64_t offset_ns; /* of the wall clock from the other, when last looked at */
    int log_fd;        /* the kernel's log; -1: may not be read */
    int clock_fd;      /* becomes readable when the wall clock is set; -1: not to be had */
};

/* True: the wall clock has jumped since the last look; jump_ns: by how much. A pair that was torn apart by
 * other work is not looked at, and what was known before stays to be compared with. */
bool cw_rewind_has_jumped(struct cw_rewind *rewind, const struct cw_rewind_clocks *clocks, int64_t *jump_ns);
/* Is this line of /dev/kmsg the kernel's own that tells of a new generation? Anybody's bytes. */
bool cw_rewind_is_new_generation(const char *line, size_t length);

/* Opens what can be opened. */
void cw_rewind_init(struct cw_rewind *rewind);
void cw_rewind_fini(struct cw_rewind *rewind);
/* Whenever there is time, at least once a second. True: it may have gone back; why: what tells so. */
bool cw_rewind_look(struct cw_rewind *rewind, char *why, size_t why_size);
