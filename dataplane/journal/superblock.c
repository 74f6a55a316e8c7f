/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The superblock's bytes. One fixed layout, every field at its own offset, the whole block under one check:
 * it is written a few times a second at most, so nothing is saved by covering less. Both copies of a
 * generation are the same bytes; where a block may lie follows from its generation.
 *
 *    0 u64 magic          8 u64 check (XXH3-64 over 16..4095)
 *   16 u32 version       20 u32 group          24 u32 site          28 u32 flags (1 clean, 2 damaged, 4
 * switch) 32 u64 generation    40 u64 journal_id[2]  56 u64 ring_sectors 64 u64 boot_id[2]    80 u64
 * process_start  88 u64 applied_sequence 96 u64 applied_limit 104 u64 tail_position 112 u64 tail_sequence 120
 * u32 image_state   124 u32 primary_site  128 u64 image_sequence 136 u64 image_time_s 144 u64 copy_id 152 u32
 * member_sites  156 u32 history_count 160 u32 volume_count   164 u32 image_history_count 168 u64
 * start_position 176 u64 start_number 184 u64 zero 192 peers    8 x (u32 flags (1 used, 2 needs copy), u32
 * zero, u64 sequence) 320 history 32 x (u64 epoch, u64 reign, u64 first_sequence) 1088 volumes 64 x (u64
 * size, u64 base, u16 volume, 6 zero) 2624 image_history 32 x (as history) 3392 openings 16 x (u64
 * epoch, i64 wall offset, ns) 3648 zero
 *
 * Version 1, still read, never written: no image_history, its place is zero; 136 was the epoch of the image;
 * the switch was an image_sequence of all ones.
 */
#include "journal/superblock.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "journal/batch_format.h"

#define SUPERBLOCK_MAGIC 0x316b636f6c627763ull /* "cwblock1" as it stands on the device */
#define FLAG_CLEAN       1u
#define FLAG_DAMAGED     2u
#define FLAG_SWITCH      4u
#define PEER_USED        1u
#define PEER_NEEDS_COPY  2u
#define NAMED_AHEAD_MAX  64u

enum {
    AT_MAGIC = 0,
    AT_CHECK = 8,
    AT_VERSION = 16,
    AT_GROUP = 20,
    AT_SITE = 24,
    AT_FLAGS = 28,
    AT_GENERATION = 32,
    AT_JOURNAL_ID = 40,
    AT_RING_SECTORS = 56,
    AT_BOOT_ID = 64,
    AT_PROCESS_START = 80,
    AT_APPLIED_SEQUENCE = 88,
    AT_APPLIED_LIMIT = 96,
    AT_TAIL_POSITION = 104,
    AT_TAIL_SEQUENCE = 112,
    AT_IMAGE_STATE = 120,
    AT_PRIMARY_SITE = 124,
    AT_IMAGE_SEQUENCE = 128,
    AT_IMAGE_TIME = 136,
    AT_COPY_ID = 144,
    AT_MEMBER_SITES = 152,
    AT_HISTORY_COUNT = 156,
    AT_VOLUME_COUNT = 160,
    AT_IMAGE_HISTORY_COUNT = 164,
    AT_START_POSITION = 168,
    AT_START_NUMBER = 176,
    AT_PEERS = 192,
    PEER_SIZE = 16,
    AT_HISTORY = 320,
    HISTORY_SIZE = 24,
    AT_VOLUMES = 1088,
    VOLUME_SIZE = 24,
    AT_IMAGE_HISTORY = 2624,
    AT_OPENINGS = 3392,
    OPENING_SIZE = 16,
    AT_END = 3648
};

static_assert(AT_PEERS + CW_SITES_MAX * PEER_SIZE == AT_HISTORY, "peers end where the history begins");
static_assert(AT_HISTORY + CW_HISTORY_MAX * HISTORY_SIZE == AT_VOLUMES,
              "the history ends where volumes begin");
static_assert(AT_VOLUMES + CW_VOLUMES_PER_GROUP_MAX * VOLUME_SIZE == AT_IMAGE_HISTORY,
              "volumes end where the image's history begins");
static_assert(AT_IMAGE_HISTORY + CW_HISTORY_MAX * HISTORY_SIZE == AT_OPENINGS,
              "the image's history ends where openings begin");
static_assert(AT_OPENINGS + CW_OPENINGS_MAX * OPENING_SIZE == AT_END, "openings end where zeroes begin");
static_assert((int)AT_END <= (int)CW_SECTOR_SIZE, "all of it fits a sector");

const char *cw_sector_class_name(enum cw_sector_class class_)
{
    static const char *const names[CW_SECTOR_CLASS_COUNT] = {"valid", "empty",       "torn",
                                                             "stale", "misdirected", "foreign"};

    return (unsigned)class_ < CW_SECTOR_CLASS_COUNT ? names[class_] : "unknown";
}

void cw_superblock_homes(uint64_t generation, uint32_t sectors[2])
{
    sectors[0] = generation % 2 == 1 ? 0 : 4;
    sectors[1] = sectors[0] + 8;
}

static void encode_history(const struct cw_history *history, uint8_t *to)
{
    for (uint32_t i = 0; i < history->count; i++, to += HISTORY_SIZE) {
        cw_store64le(to, history->entries[i].epoch);
        cw_store64le(to + 8, history->entries[i].reign);
        cw_store64le(to + 16, history->entries[i].first_sequence);
    }
}

static void decode_history(const uint8_t *from, struct cw_history *history)
{
    for (uint32_t i = 0; i < history->count; i++, from += HISTORY_SIZE) {
        history->entries[i].epoch = cw_load64le(from);
        history->entries[i].reign = cw_load64le(from + 8);
        history->entries[i].first_sequence = cw_load64le(from + 16);
    }
}

static void encode_tables(const struct cw_superblock *superblock, uint8_t *block)
{
    for (uint32_t i = 0; i < CW_SITES_MAX; i++) {
        uint8_t *to = block + AT_PEERS + i * PEER_SIZE;

        cw_store32le(to, (superblock->peers[i].is_used ? PEER_USED : 0) |
                             (superblock->peers[i].needs_copy ? PEER_NEEDS_COPY : 0));
        cw_store64le(to + 8, superblock->peers[i].sequence);
    }
    encode_history(&superblock->history, block + AT_HISTORY);
    encode_history(&superblock->image_history, block + AT_IMAGE_HISTORY);
    for (uint32_t i = 0; i < superblock->volume_count; i++) {
        uint8_t *to = block + AT_VOLUMES + i * VOLUME_SIZE;

        cw_store64le(to, superblock->volumes[i].size);
        cw_store64le(to + 8, superblock->volumes[i].base);
        cw_store16le(to + 16, superblock->volumes[i].volume);
    }
    for (uint32_t i = 0; i < CW_OPENINGS_MAX; i++) {
        uint8_t *to = block + AT_OPENINGS + i * OPENING_SIZE;

        cw_store64le(to, superblock->openings[i].epoch);
        cw_store64le(to + 8, (uint64_t)superblock->openings[i].wall_offset_ns);
    }
}

void cw_superblock_encode(const struct cw_superblock *superblock, uint8_t *block)
{
    CW_ASSERT(superblock->generation > 0);
    CW_ASSERT(superblock->ring_sectors >= CW_JOURNAL_RING_SECTORS_MIN);
    CW_ASSERT(superblock->history.count <= CW_HISTORY_MAX);
    CW_ASSERT(superblock->image_history.count <= CW_HISTORY_MAX);
    CW_ASSERT(superblock->volume_count <= CW_VOLUMES_PER_GROUP_MAX);
    CW_ASSERT(superblock->image_state >= CW_IMAGE_WHOLE && superblock->image_state <= CW_IMAGE_BROKEN);
    memset(block, 0, CW_SECTOR_SIZE);
    cw_store64le(block + AT_MAGIC, SUPERBLOCK_MAGIC);
    cw_store32le(block + AT_VERSION, CW_SUPERBLOCK_VERSION);
    cw_store32le(block + AT_GROUP, superblock->group);
    cw_store32le(block + AT_SITE, superblock->site);
    cw_store32le(block + AT_FLAGS, (superblock->is_clean ? FLAG_CLEAN : 0) |
                                       (superblock->is_damaged ? FLAG_DAMAGED : 0) |
                                       (superblock->must_switch ? FLAG_SWITCH : 0));
    cw_store64le(block + AT_GENERATION, superblock->generation);
    cw_store64le(block + AT_JOURNAL_ID, superblock->journal_id[0]);
    cw_store64le(block + AT_JOURNAL_ID + 8, superblock->journal_id[1]);
    cw_store64le(block + AT_RING_SECTORS, superblock->ring_sectors);
    cw_store64le(block + AT_BOOT_ID, superblock->boot_id[0]);
    cw_store64le(block + AT_BOOT_ID + 8, superblock->boot_id[1]);
    cw_store64le(block + AT_PROCESS_START, superblock->process_start);
    cw_store64le(block + AT_APPLIED_SEQUENCE, superblock->applied_sequence);
    cw_store64le(block + AT_APPLIED_LIMIT, superblock->applied_limit);
    cw_store64le(block + AT_TAIL_POSITION, superblock->tail_position);
    cw_store64le(block + AT_TAIL_SEQUENCE, superblock->tail_sequence);
    cw_store32le(block + AT_IMAGE_STATE, superblock->image_state);
    cw_store32le(block + AT_PRIMARY_SITE, superblock->primary_site);
    cw_store64le(block + AT_IMAGE_SEQUENCE, superblock->image_sequence);
    cw_store64le(block + AT_IMAGE_TIME, superblock->image_time_s);
    cw_store64le(block + AT_COPY_ID, superblock->copy_id);
    cw_store32le(block + AT_MEMBER_SITES, superblock->member_sites);
    cw_store32le(block + AT_HISTORY_COUNT, superblock->history.count);
    cw_store32le(block + AT_VOLUME_COUNT, superblock->volume_count);
    cw_store32le(block + AT_IMAGE_HISTORY_COUNT, superblock->image_history.count);
    cw_store64le(block + AT_START_POSITION, superblock->start_position);
    cw_store64le(block + AT_START_NUMBER, superblock->start_number);
    encode_tables(superblock, block);
    cw_store64le(block + AT_CHECK, cw_hash64(block + AT_VERSION, CW_SECTOR_SIZE - AT_VERSION));
}

static void decode_tables(const uint8_t *block, struct cw_superblock *superblock)
{
    for (uint32_t i = 0; i < CW_SITES_MAX; i++) {
        const uint8_t *from = block + AT_PEERS + i * PEER_SIZE;

        superblock->peers[i].is_used = (cw_load32le(from) & PEER_USED) != 0;
        superblock->peers[i].needs_copy = (cw_load32le(from) & PEER_NEEDS_COPY) != 0;
        superblock->peers[i].sequence = cw_load64le(from + 8);
    }
    decode_history(block + AT_HISTORY, &superblock->history);
    decode_history(block + AT_IMAGE_HISTORY, &superblock->image_history);
    for (uint32_t i = 0; i < superblock->volume_count; i++) {
        const uint8_t *from = block + AT_VOLUMES + i * VOLUME_SIZE;

        superblock->volumes[i].size = cw_load64le(from);
        superblock->volumes[i].base = cw_load64le(from + 8);
        superblock->volumes[i].volume = cw_load16le(from + 16);
    }
    for (uint32_t i = 0; i < CW_OPENINGS_MAX; i++) {
        const uint8_t *from = block + AT_OPENINGS + i * OPENING_SIZE;

        superblock->openings[i].epoch = cw_load64le(from);
        superblock->openings[i].wall_offset_ns = (int64_t)cw_load64le(from + 8);
    }
}

static void decode_fields(const uint8_t *block, struct cw_superblock *superblock)
{
    uint32_t flags = cw_load32le(block + AT_FLAGS);

    *superblock = (struct cw_superblock){
        .generation = cw_load64le(block + AT_GENERATION),
        .journal_id = {cw_load64le(block + AT_JOURNAL_ID), cw_load64le(block + AT_JOURNAL_ID + 8)},
        .group = cw_load32le(block + AT_GROUP),
        .site = cw_load32le(block + AT_SITE),
        .ring_sectors = cw_load64le(block + AT_RING_SECTORS),
        .boot_id = {cw_load64le(block + AT_BOOT_ID), cw_load64le(block + AT_BOOT_ID + 8)},
        .process_start = cw_load64le(block + AT_PROCESS_START),
        .history.count = cw_load32le(block + AT_HISTORY_COUNT),
        .applied_sequence = cw_load64le(block + AT_APPLIED_SEQUENCE),
        .applied_limit = cw_load64le(block + AT_APPLIED_LIMIT),
        .tail_position = cw_load64le(block + AT_TAIL_POSITION),
        .tail_sequence = cw_load64le(block + AT_TAIL_SEQUENCE),
        .start_position = cw_load64le(block + AT_START_POSITION),
        .start_number = cw_load64le(block + AT_START_NUMBER),
        .image_state = cw_load32le(block + AT_IMAGE_STATE),
        .image_sequence = cw_load64le(block + AT_IMAGE_SEQUENCE),
        .image_time_s = cw_load64le(block + AT_IMAGE_TIME),
        .image_history.count = cw_load32le(block + AT_IMAGE_HISTORY_COUNT),
        .must_switch = (flags & FLAG_SWITCH) != 0,
        .copy_id = cw_load64le(block + AT_COPY_ID),
        .is_clean = (flags & FLAG_CLEAN) != 0,
        .is_damaged = (flags & FLAG_DAMAGED) != 0,
        .volume_count = cw_load32le(block + AT_VOLUME_COUNT),
        .primary_site = cw_load32le(block + AT_PRIMARY_SITE),
        .member_sites = cw_load32le(block + AT_MEMBER_SITES),
    };
}

/* What version 1 said of images in our words. It kept no history of the old image: nothing opens from that.
 */
static void translate_version_1(struct cw_superblock *superblock)
{
    superblock->must_switch = superblock->image_sequence == UINT64_MAX;
    superblock->image_history.count = 0;
    superblock->image_sequence = 0;
    superblock->image_time_s = 0;
}

static bool fields_make_sense(const struct cw_superblock *superblock)
{
    return superblock->generation > 0 && superblock->ring_sectors >= CW_JOURNAL_RING_SECTORS_MIN &&
           superblock->ring_sectors <= CW_RING_SECTORS_MAX && superblock->tail_position <= CW_POSITION_MAX &&
           superblock->history.count <= CW_HISTORY_MAX && superblock->image_history.count <= CW_HISTORY_MAX &&
           superblock->volume_count <= CW_VOLUMES_PER_GROUP_MAX &&
           superblock->image_state >= CW_IMAGE_WHOLE && superblock->image_state <= CW_IMAGE_BROKEN;
}

enum cw_sector_class cw_superblock_decode(const uint8_t *block, uint32_t sector,
                                          struct cw_superblock *superblock)
{
    if (cw_load64le(block + AT_MAGIC) != SUPERBLOCK_MAGIC)
        return cw_sector_is_zero(block) ? CW_SECTOR_EMPTY : CW_SECTOR_FOREIGN;
    if (cw_load64le(block + AT_CHECK) != cw_hash64(block + AT_VERSION, CW_SECTOR_SIZE - AT_VERSION))
        return CW_SECTOR_TORN;
    uint32_t version = cw_load32le(block + AT_VERSION);
    if (version != CW_SUPERBLOCK_VERSION && version != 1)
        return CW_SECTOR_FOREIGN;

    struct cw_superblock found;
    decode_fields(block, &found);
    if (version == 1)
        translate_version_1(&found);
    if (!fields_make_sense(&found))
        return CW_SECTOR_FOREIGN;
    uint32_t homes[2];
    cw_superblock_homes(found.generation, homes);
    if (sector != homes[0] && sector != homes[1])
        return CW_SECTOR_MISDIRECTED;
    decode_tables(block, &found);
    *superblock = found;
    return CW_SECTOR_VALID;
}

static const uint8_t *copy_at(const uint8_t *sectors, uint32_t copy)
{
    return sectors + (size_t)copy * 4 * CW_SECTOR_SIZE;
}

/* Two sound copies of one generation that differ: one of them is a lie and nothing says which. */
static void refuse_disagreement(const uint8_t *sectors, enum cw_sector_class *classes)
{
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *a = copy_at(sectors, i);
        const uint8_t *b = copy_at(sectors, i + 2);

        if (classes[i] != CW_SECTOR_VALID || classes[i + 2] != CW_SECTOR_VALID)
            continue;
        if (cw_load64le(a + AT_GENERATION) == cw_load64le(b + AT_GENERATION) &&
            memcmp(a, b, CW_SECTOR_SIZE) != 0)
            classes[i] = classes[i + 2] = CW_SECTOR_TORN;
    }
}

/* With the newest known: copies of another journal are foreign, and one that missed its last write is stale.
 */
static void judge_by_newest(const uint8_t *sectors, const struct cw_superblock *newest,
                            enum cw_sector_class *classes)
{
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++) {
        const uint8_t *block = copy_at(sectors, i);

        if (classes[i] != CW_SECTOR_VALID)
            continue;
        if (cw_load64le(block + AT_JOURNAL_ID) != newest->journal_id[0] ||
            cw_load64le(block + AT_JOURNAL_ID + 8) != newest->journal_id[1])
            classes[i] = CW_SECTOR_FOREIGN;
        else if (cw_load64le(block + AT_GENERATION) + 1 < newest->generation)
            classes[i] = CW_SECTOR_STALE;
    }
}

/* The first 512 bytes, with generation and check, came to the device, the rest perhaps not. A number that is
 * far off is no number of ours. */
static uint64_t highest_named(const uint8_t *sectors, const struct cw_superblock *newest,
                              const enum cw_sector_class *classes)
{
    uint64_t named = 0;
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++) {
        const uint8_t *block = copy_at(sectors, i);
        uint64_t generation = cw_load64le(block + AT_GENERATION);
        if (classes[i] == CW_SECTOR_TORN && cw_load64le(block + AT_JOURNAL_ID) == newest->journal_id[0] &&
            cw_load64le(block + AT_JOURNAL_ID + 8) == newest->journal_id[1] &&
            generation - newest->generation <= NAMED_AHEAD_MAX)
            named = CW_MAX(named, generation);
    }
    return named;
}

uint64_t cw_superblock_next(const struct cw_superblock *superblock)
{
    uint64_t next = superblock->generation + 1;
    while (next <= superblock->generation_named)
        next += 2; /* still beside the last one that is whole */
    return next;
}

enum cw_status cw_superblock_pick(const uint8_t *sectors, struct cw_superblock *superblock,
                                  enum cw_sector_class classes[CW_SUPERBLOCK_COPIES])
{
    struct cw_superblock found;
    uint64_t disagreed = 0; /* highest generation about which two copies tell different things */
    uint64_t best = 0;

    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++)
        classes[i] = cw_superblock_decode(copy_at(sectors, i), i * 4, &found);
    enum cw_sector_class before[CW_SUPERBLOCK_COPIES];
    memcpy(before, classes, sizeof before);
    refuse_disagreement(sectors, classes);

    bool was_one = false;
    for (uint32_t i = 0; i < CW_SUPERBLOCK_COPIES; i++) {
        uint64_t generation = cw_load64le(copy_at(sectors, i) + AT_GENERATION);

        was_one |= classes[i] == CW_SECTOR_TORN || classes[i] == CW_SECTOR_MISDIRECTED;
        if (before[i] == CW_SECTOR_VALID && classes[i] == CW_SECTOR_TORN)
            disagreed = CW_MAX(disagreed, generation);
        if (classes[i] != CW_SECTOR_VALID || generation <= best)
            continue;
        best = generation;
        (void)cw_superblock_decode(copy_at(sectors, i), i * 4, superblock);
    }
    if (disagreed > best)
        return CW_CORRUPT;
    if (best == 0)
        return was_one ? CW_CORRUPT : CW_NOT_FOUND;
    judge_by_newest(sectors, superblock, classes);
    superblock->generation_named = highest_named(sectors, superblock, classes);
    return CW_OK;
}
