/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a spec: a table of settings, each with its reader and the example that a mistake is answered with.
 * Mistakes are collected, so that one attempt shows all of them.
 */
#include "wanem/spec.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"

#define VALUE_SIZE        200u
#define QUEUE_BYTES_LEAST 65536ull

const char cw_wan_spec_help[] =
    "  rate=1gbit          bits of frames a second (bit, kbit, mbit, gbit); 0: unlimited (default)\n"
    "  delay=40ms          one way (ns, us, ms, s); rtt=80ms is the same, said for both ways together\n"
    "  jitter=1ms          up to this is added at random; keeps the order\n"
    "  loss=1%             share lost at random\n"
    "  ge=0.1%:50[:100%]   Gilbert-Elliott: share lost on average, mean length of a bad time in packets,\n"
    "                      share lost in a bad time\n"
    "  reorder=0.5%:2ms    share that is later by this, so that others pass it\n"
    "  duplicate=0.1%      share that comes twice\n"
    "  corrupt=2%          share with one bit turned behind the Ethernet header\n"
    "  queue=5MB           what may wait for the rate (B, kB, MB, KiB, MiB), or 1000p: "
    "packets; what does not\n"
    "                      fit is dropped. Default: two delays' worth, 64 KiB at least\n"
    "  mark=1%             share marked CE (of what says that it understands marks, RFC 3168), or "
    "mark=200kB:\n"
    "                      what meets more than that before it is\n"
    "  blackhole=2s/5s     the last 2 s of every 5 s nothing gets in\n"
    "  mtu=1500:1400@10s   larger IP packets vanish; from 10 s after the start on, another limit\n"
    "  seed=7              same seed and same arrivals: same decisions\n";

struct reading {
    struct cw_wan_spec *spec;
    char *why;
    size_t why_size, why_used;
    bool has_delay, has_rtt, has_queue;
};

/* Adds a mistake to the list of them. */
static void __attribute__((format(printf, 2, 3))) mistake(struct reading *reading, const char *format, ...)
{
    va_list arguments;
    const char *separator = reading->why_used > 0 ? "; " : "";
    for (unsigned part = 0; part < 2 && reading->why_used < reading->why_size; part++) {
        char *to = reading->why + reading->why_used;
        size_t room = reading->why_size - reading->why_used;
        va_start(arguments, format);
        int written =
            part == 0 ? snprintf(to, room, "%s", separator) : vsnprintf(to, room, format, arguments);
        va_end(arguments);
        reading->why_used += written > 0 ? (size_t)written : 0;
    }
    reading->why_used = CW_MAX(reading->why_used, 1u); /* even where there is no room for words */
}

/* ---------------------------------------------------------------- quantities */

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit rates[] = {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 0}};
static const struct unit sizes[] = {{"b", 1},        {"kb", 1e3},      {"mb", 1e6},
                                    {"kib", 1024.0}, {"mib", 1048576}, {NULL, 0}};
static const struct unit shares[] = {{"%", 1e7}, {NULL, 0}};
static const struct unit counts[] = {{"p", 1}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

/* A number, decimals allowed, and one of the units; without one only 0. At most highest. */
static bool read_quantity(const char *text, const struct unit *units, uint64_t highest, uint64_t *value)
{
    char number[32];
    size_t length = strspn(text, "0123456789.");
    if (length == 0 || length >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", (int)length, text);
    char *end;
    double amount = strtod(number, &end);
    if (*end != 0)
        return false;
    if (text[length] == 0 && amount == 0 && units != plain) {
        *value = 0;
        return true;
    }
    for (; units->name != NULL; units++) {
        if (strcasecmp(units->name, text + length) != 0)
            continue;
        amount = amount * units->factor + 0.5;
        *value = amount <= (double)highest + 0.5 ? (uint64_t)amount : 0;
        return amount <= (double)highest + 0.5;
    }
    return false;
}

static bool read_time(const char *text, uint64_t *ns)
{
    return read_quantity(text, times, CW_WAN_TIME_NS_MAX, ns);
}

static bool read_share(const char *text, uint32_t *share)
{
    uint64_t value;
    if (!read_quantity(text, shares, CW_WAN_CERTAIN, &value))
        return false;
    *share = (uint32_t)value;
    return true;
}

static bool read_number(const char *text, uint64_t highest, uint64_t *value)
{
    return strchr(text, '.') == NULL && read_quantity(text, plain, highest, value);
}

/* Cuts text at the first `separator`; what follows it, or NULL. */
static char *cut(char *text, char separator)
{
    char *at = strchr(text, separator);
    if (at == NULL)
        return NULL;
    *at = 0;
    return at + 1;
}

/* ---------------------------------------------------------------- settings */

static bool set_rate(struct reading *reading, char *value)
{
    uint64_t *rate = &reading->spec->rate_bits;
    return read_quantity(value, rates, CW_WAN_RATE_BITS_MAX, rate) &&
           (*rate == 0 || *rate >= CW_WAN_RATE_BITS_LEAST);
}

static bool set_delay(struct reading *reading, char *value)
{
    reading->has_delay = true;
    return read_time(value, &reading->spec->delay_ns);
}

static bool set_rtt(struct reading *reading, char *value)
{
    uint64_t rtt_ns;
    reading->has_rtt = true;
    if (!read_time(value, &rtt_ns))
        return false;
    reading->spec->delay_ns = (rtt_ns + 1) / 2;
    return true;
}

static bool set_jitter(struct reading *reading, char *value)
{
    return read_time(value, &reading->spec->jitter_ns);
}

static bool set_loss(struct reading *reading, char *value)
{
    return read_share(value, &reading->spec->loss);
}

static bool set_bursts(struct reading *reading, char *value)
{
    struct cw_wan_spec *spec = reading->spec;
    char *packets = cut(value, ':'), *density = packets != NULL ? cut(packets, ':') : NULL;
    uint64_t length;
    spec->burst_density = CW_WAN_CERTAIN;
    if (packets == NULL || !read_share(value, &spec->burst_loss) || !read_number(packets, 1000000, &length) ||
        length == 0 || (density != NULL && !read_share(density, &spec->burst_density)))
        return false;
    spec->burst_packets = (uint32_t)length;
    if (spec->burst_loss >= spec->burst_density)
        return false; /* the bad time would never end */
    double share = (double)spec->burst_loss / spec->burst_density;
    return share <= (1 - share) * (double)length; /* a good time lasts a packet at least */
}

static bool set_reorder(struct reading *reading, char *value)
{
    char *by = cut(value, ':');
    return by != NULL && read_share(value, &reading->spec->reorder) &&
           read_time(by, &reading->spec->reorder_ns) && reading->spec->reorder_ns > 0;
}

static bool set_duplicate(struct reading *reading, char *value)
{
    return read_share(value, &reading->spec->duplicate);
}

static bool set_corrupt(struct reading *reading, char *value)
{
    return read_share(value, &reading->spec->corrupt);
}

static bool set_queue(struct reading *reading, char *value)
{
    struct cw_wan_spec *spec = reading->spec;
    uint64_t packets = 0;
    reading->has_queue = true;
    if (value[strspn(value, "0123456789")] == 'p' &&
        read_quantity(value, counts, CW_WAN_QUEUE_PACKETS_MAX, &packets))
        spec->queue_packets = (uint32_t)packets;
    else if (!read_quantity(value, sizes, CW_WAN_QUEUE_BYTES_MAX, &spec->queue_bytes))
        return false;
    return spec->queue_packets > 0 || spec->queue_bytes > 0;
}

static bool set_mark(struct reading *reading, char *value)
{
    struct cw_wan_spec *spec = reading->spec;
    if (strchr(value, '%') != NULL)
        return read_share(value, &spec->mark);
    return read_quantity(value, sizes, CW_WAN_QUEUE_BYTES_MAX, &spec->mark_bytes) && spec->mark_bytes > 0;
}

static bool set_blackhole(struct reading *reading, char *value)
{
    struct cw_wan_spec *spec = reading->spec;
    char *period = cut(value, '/');
    return period != NULL && read_time(value, &spec->dark_ns) && read_time(period, &spec->period_ns) &&
           spec->dark_ns > 0 && spec->dark_ns <= spec->period_ns;
}

static bool set_mtu(struct reading *reading, char *value)
{
    struct cw_wan_spec *spec = reading->spec;
    for (char *next; value != NULL; value = next) {
        if (spec->mtu_steps == CW_WAN_MTU_STEPS_MAX)
            return false;
        struct cw_wan_mtu_step *step = &spec->mtu[spec->mtu_steps];
        uint64_t bytes;
        next = cut(value, ':');
        char *from = cut(value, '@');
        step->from_ns = 0;
        if (!read_number(value, 65535, &bytes) || bytes < 68 || (from != NULL) != (spec->mtu_steps > 0) ||
            (from != NULL && !read_time(from, &step->from_ns)))
            return false;
        if (spec->mtu_steps > 0 && step->from_ns <= step[-1].from_ns)
            return false;
        step->bytes = (uint32_t)bytes;
        spec->mtu_steps++;
    }
    return true;
}

static bool set_seed(struct reading *reading, char *value)
{
    char *end;
    reading->spec->seed = strtoull(value, &end, 10);
    return isdigit((unsigned char)value[0]) && *end == 0 && strlen(value) <= 19;
}

static const struct setting {
    const char *name, *expected;
    bool (*set)(struct reading *reading, char *value);
} settings[] = {
    {"rate", "bits a second such as 1gbit, 1kbit to 1000gbit, or 0: unlimited", set_rate},
    {"delay", "a time one way such as 80ms, at most 3600s", set_delay},
    {"rtt", "a time there and back such as 80ms, at most 3600s", set_rtt},
    {"jitter", "a time such as 1ms, at most 3600s", set_jitter},
    {"loss", "a share such as 1%, 0 to 100 %", set_loss},
    {"ge",
     "AVERAGE:PACKETS or AVERAGE:PACKETS:DENSITY such as 0.1%:50 or 1%:20:80%, with 1 to 1000000 packets and "
     "an average below the density that bad times so long can reach",
     set_bursts},
    {"reorder", "SHARE:TIME such as 0.5%:2ms", set_reorder},
    {"duplicate", "a share such as 0.1%", set_duplicate},
    {"corrupt", "a share such as 2%", set_corrupt},
    {"queue", "a size such as 5MB or 512KiB, at most 1000MB, or packets such as 1000p, at most 1000000p",
     set_queue},
    {"mark", "a share such as 1%, or a size such as 200kB, at most 1000MB", set_mark},
    {"blackhole", "DARK/PERIOD such as 2s/5s, dark at most the period", set_blackhole},
    {"mtu",
     "68 to 65535, and then up to seven changes as :BYTES@TIME with rising times, such as 1500:1400@10s",
     set_mtu},
    {"seed", "a whole number such as 7, of at most 19 digits", set_seed},
};

#define SETTINGS CW_COUNT_OF(settings)

/* Index of a setting, or SETTINGS. */
static size_t find_setting(const char *name)
{
    size_t index = 0;
    while (index < SETTINGS && strcmp(settings[index].name, name) != 0)
        index++;
    return index;
}

static void read_setting(struct reading *reading, const char *text, size_t length, uint32_t *seen)
{
    char entry[VALUE_SIZE];
    if (length >= sizeof entry) {
        mistake(reading, "%.20s...: too long, at most %u characters", text, VALUE_SIZE - 1);
        return;
    }
    snprintf(entry, sizeof entry, "%.*s", (int)length, text);
    char *value = cut(entry, '=');
    size_t index = find_setting(entry);
    if (value == NULL) {
        mistake(reading, "\"%s\": expected NAME=VALUE", entry);
    } else if (index == SETTINGS) {
        mistake(reading,
                "%s: no such setting; expected rate, delay or rtt, jitter, loss, ge, reorder, duplicate, "
                "corrupt, queue, mark, blackhole, mtu, seed",
                entry);
    } else if (*seen & 1u << index) {
        mistake(reading, "%s: given twice; expected once", entry);
    } else {
        *seen |= 1u << index;
        if (!settings[index].set(reading, value))
            mistake(reading, "%.*s: expected %s", (int)length, text, settings[index].expected);
    }
}

/* What is true of the whole only. */
static void complete(struct reading *reading)
{
    struct cw_wan_spec *spec = reading->spec;
    if (reading->has_delay && reading->has_rtt)
        mistake(reading, "delay and rtt: expected only one of them");
    if (reading->has_queue && spec->rate_bits == 0)
        mistake(reading, "queue: expected with a rate only, for without one nothing waits");
    if (spec->mark_bytes > 0 && spec->rate_bits == 0)
        mistake(reading, "mark: expected a share such as 1%%, for without a rate nothing waits");
    if (spec->rate_bits == 0 || reading->has_queue)
        return;
    double round_trip_bytes = (double)spec->rate_bits / 8 * 2e-9 * (double)spec->delay_ns;
    spec->queue_bytes = (uint64_t)CW_MIN(round_trip_bytes, (double)CW_WAN_QUEUE_BYTES_MAX);
    spec->queue_bytes = CW_MAX(spec->queue_bytes, QUEUE_BYTES_LEAST);
}

bool cw_wan_spec_read(const char *text, struct cw_wan_spec *spec, char *why, size_t why_size)
{
    struct reading reading = {.spec = spec, .why = why, .why_size = why_size};
    uint32_t seen = 0;
    *spec = (struct cw_wan_spec){0};
    static_assert(SETTINGS <= 32, "seen has a bit for each");
    while (*text != 0) {
        size_t length = strcspn(text, ",");
        read_setting(&reading, text, length, &seen);
        text += length;
        if (text[0] == ',' && text[1] == 0)
            mistake(&reading, "a comma at the end: expected NAME=VALUE behind it");
        text += *text == ',';
    }
    if (reading.why_used == 0)
        complete(&reading);
    return reading.why_used == 0;
}

uint64_t cw_wan_spec_bytes_held(const struct cw_wan_spec *spec, uint64_t assumed_bits, uint32_t frame_bytes)
{
    uint64_t bits = spec->rate_bits > 0 ? spec->rate_bits : assumed_bits;
    double seconds = (double)(spec->delay_ns + spec->jitter_ns + spec->reorder_ns) * 1e-9;
    double bytes = (double)bits / 8 * seconds + (double)spec->queue_bytes +
                   (double)spec->queue_packets * (double)frame_bytes;
    bytes *= 1 + (double)spec->duplicate / CW_WAN_CERTAIN;
    return (uint64_t)bytes;
}
