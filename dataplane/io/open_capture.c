/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * causeway-open: opens the sealed payloads of a capture with the keys of a key log (key_log.h), into a
 * capture in which they are clear, for wire/causeway.lua to show their frames.
 *
 * A datagram that was opened (tag and all authenticated bytes are good) has its payload in clear and, in the
 * place of its tag, OPENED_TAG; lengths stay, so all else of the packet does too, but for the checksum of
 * UDP, which is set to "none". Everything else is copied as it is. An SPI may have several keys, of several
 * lives: each is tried.
 *
 * Reads pcap, not pcapng (editcap -F pcap, tcpdump -w); Ethernet with VLANs, raw IP and Linux cooked frames;
 * IPv4 without fragments, IPv6 without extension headers: what the engine sends. A file is a foreign thing
 * here: lengths in it are checked before they are believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/aead.h"
#include "wire/packet.h"

#define OPENED_TAG  "causeway: opened" /* wire/causeway.lua knows it */
#define FILE_HEADER 24u
#define HEADER      16u
#define BYTES_MAX   262144u /* of a packet: libpcap's own limit */
#define LINE_BYTES  256u
static_assert(sizeof OPENED_TAG - 1 == CW_PACKET_TAG_SIZE, "it stands where the tag stood");

struct key {
    uint32_t spi;
    void *state;
};

struct keys {
    const struct cw_aead_ops *aead;
    struct key *list;
    size_t count;
};

struct counts {
    uint64_t packets, sealed, opened, cut, no_key, bad;
};

static bool fail(const char *file, const char *what)
{
    fprintf(stderr, "causeway-open: %s: %s\n", file, what);
    return false;
}

/* ---------------------------------------------------------------- keys */

static bool key_of_line(const char *line, uint32_t *spi, uint8_t key[32])
{
    char digits[65], rest[2];
    if (sscanf(line, "CAUSEWAY_KEY %8x AES-256-GCM %64[0-9a-f]%1s", spi, digits, rest) != 2)
        return false;
    if (strlen(digits) != 64)
        return false;
    for (int i = 0; i < 32; i++) {
        unsigned byte = 0;
        (void)sscanf(digits + 2 * i, "%2x", &byte);
        key[i] = (uint8_t)byte;
    }
    return true;
}

static bool keys_add(struct keys *keys, uint32_t spi, const uint8_t key[32])
{
    struct key *list = realloc(keys->list, (keys->count + 1) * sizeof *list);
    if (list == NULL)
        return false;
    keys->list = list;
    void *state = aligned_alloc(64, (keys->aead->key_state_size + 63) / 64 * 64);
    if (state == NULL)
        return false;
    keys->aead->key_expand(state, key);
    list[keys->count++] = (struct key){spi, state};
    return true;
}

static bool keys_read(struct keys *keys, const char *file)
{
    char line[LINE_BYTES];
    uint8_t key[32];
    uint32_t spi;
    unsigned number = 0;
    FILE *from = fopen(file, "re");
    if (from == NULL)
        return fail(file, strerror(errno));
    bool is_good = true;
    while (is_good && fgets(line, sizeof line, from) != NULL) {
        number++;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        is_good = key_of_line(line, &spi, key) && keys_add(keys, spi, key);
    }
    fclose(from);
    explicit_bzero(key, sizeof key);
    explicit_bzero(line, sizeof line);
    if (!is_good)
        fprintf(stderr, "causeway-open: %s:%u: not a line of a key log\n", file, number);
    return is_good;
}

static void keys_free(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        free(keys->list[i].state);
    free(keys->list);
}

/* ---------------------------------------------------------------- where the datagram lies in a packet */

static uint32_t load16be(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static size_t ether_at(const uint8_t *packet, size_t length)
{
    size_t at = 12;
    while (length >= at + 4 && (load16be(packet + at) == 0x8100 || load16be(packet + at) == 0x88a8))
        at += 4;
    return at + 2;
}

/* Where the IP header begins; SIZE_MAX: of no link layer that we know. */
static size_t ip_at(uint32_t link, const uint8_t *packet, size_t length)
{
    switch (link) {
    case 1: /* Ethernet */
        return ether_at(packet, length);
    case 101: /* raw IP */
        return 0;
    case 113: /* Linux cooked */
        return 16;
    case 276: /* and its second version */
        return 20;
    default:
        return SIZE_MAX;
    }
}

/* Where the UDP header begins, or 0. */
static size_t udp_at(const uint8_t *packet, size_t length, size_t ip)
{
    if (ip >= length || length - ip < 20)
        return 0;
    const uint8_t *header = packet + ip;
    size_t bytes = 40;
    if (header[0] >> 4 == 4) {
        bytes = (header[0] & 15u) * 4u;
        if (bytes < 20 || header[9] != 17 || (load16be(header + 6) & 0x3fff) != 0)
            return 0;
    } else if (header[0] >> 4 != 6 || header[6] != 17) {
        return 0;
    }
    return length - ip >= bytes + 8 ? ip + bytes : 0;
}

/* ---------------------------------------------------------------- opening */

static bool open_with(const struct keys *keys, const struct key *key, const struct cw_packet *packet,
                      uint8_t *datagram, uint8_t *plain)
{
    uint8_t nonce[CW_PACKET_IV_SIZE];
    uint8_t *payload = datagram + CW_PACKET_HEADER_SIZE;
    cw_packet_nonce(datagram, nonce);
    if (!keys->aead->open(key->state, plain, payload, packet->length, nonce, datagram, CW_PACKET_HEADER_SIZE,
                          payload + packet->length))
        return false;
    memcpy(payload, plain, packet->length);
    memcpy(payload + packet->length, OPENED_TAG, CW_PACKET_TAG_SIZE);
    return true;
}

static bool open_datagram(const struct keys *keys, uint8_t *datagram, const struct cw_packet *packet,
                          struct counts *counts)
{
    static uint8_t plain[CW_PACKET_BYTES_MAX];
    bool has_key = false;
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->list[i].spi != packet->spi)
            continue;
        has_key = true;
        if (open_with(keys, &keys->list[i], packet, datagram, plain)) {
            counts->opened++;
            return true;
        }
    }
    counts->bad += has_key;
    counts->no_key += !has_key;
    return false;
}

/* In place. `length` bytes were captured. */
static void look(const struct keys *keys, uint32_t link, uint8_t *bytes, size_t length, struct counts *counts)
{
    struct cw_packet packet;
    counts->packets++;
    size_t udp = udp_at(bytes, length, ip_at(link, bytes, length));
    if (udp == 0)
        return;
    size_t there = length - udp - 8, size = load16be(bytes + udp + 4);
    uint8_t *datagram = bytes + udp + 8;
    if (size < 8 || size - 8 > there) {
        counts->cut++;
        return;
    }
    if (cw_packet_check(datagram, size - 8, &packet) != CW_PACKET_OK || packet.type == CW_PACKET_HANDSHAKE)
        return;
    counts->sealed++;
    if (open_datagram(keys, datagram, &packet, counts))
        memset(bytes + udp + 6, 0, 2);
}

/* ---------------------------------------------------------------- files */

struct capture {
    FILE *from, *to;
    const char *file;
    bool is_swapped; /* written by a machine of the other byte order */
    uint32_t link;
};

static uint32_t number_of(const struct capture *capture, const uint8_t *at)
{
    return capture->is_swapped ? cw_load32be(at) : cw_load32le(at);
}

static bool begin(struct capture *capture)
{
    uint8_t header[FILE_HEADER];
    if (fread(header, sizeof header, 1, capture->from) != 1)
        return fail(capture->file, "no capture: too short");
    uint32_t magic = cw_load32le(header);
    if (magic == 0x0a0d0d0a)
        return fail(capture->file, "this is pcapng; editcap -F pcap makes a pcap of it");
    capture->is_swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
    if (!capture->is_swapped && magic != 0xa1b2c3d4 && magic != 0xa1b23c4d)
        return fail(capture->file, "no capture in pcap format");
    capture->link = number_of(capture, header + 20) & 0xffff;
    if (ip_at(capture->link, header, 0) == SIZE_MAX)
        return fail(capture->file, "of a kind of link that is not known here");
    return fwrite(header, sizeof header, 1, capture->to) == 1;
}

static bool copy(struct capture *capture, const struct keys *keys, struct counts *counts)
{
    static uint8_t bytes[BYTES_MAX];
    uint8_t header[HEADER];
    size_t got;
    if (!begin(capture))
        return false;
    while ((got = fread(header, 1, sizeof header, capture->from)) == sizeof header) {
        uint32_t length = number_of(capture, header + 8);
        if (length > sizeof bytes)
            return fail(capture->file, "a packet is longer than packets are: damaged");
        if (length > 0 && fread(bytes, length, 1, capture->from) != 1)
            return fail(capture->file, "ends within a packet");
        look(keys, capture->link, bytes, length, counts);
        if (fwrite(header, sizeof header, 1, capture->to) != 1 ||
            (length > 0 && fwrite(bytes, length, 1, capture->to) != 1))
            return fail(capture->file, "its copy cannot be written");
    }
    return got == 0 || fail(capture->file, "ends within a packet");
}

/* What is in clear is for its owner alone. */
static bool run(struct capture *capture, const char *to, const struct keys *keys, struct counts *counts)
{
    capture->from = fopen(capture->file, "re");
    if (capture->from == NULL)
        return fail(capture->file, strerror(errno));
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    capture->to = fd < 0 ? NULL : fdopen(fd, "w");
    bool is_good = capture->to != NULL || fail(to, strerror(errno));
    is_good = is_good && copy(capture, keys, counts);
    if (capture->to != NULL && fclose(capture->to) != 0)
        is_good = fail(to, strerror(errno));
    fclose(capture->from);
    return is_good;
}

int main(int argc, char **argv)
{
    struct counts counts = {0};
    struct keys keys = {.aead = cw_aead_openssl()};
    if (argc != 4) {
        fprintf(stderr,
                "causeway-open CAPTURE KEY_LOG NEW_CAPTURE\n"
                "  Opens the payloads of a capture (pcap) with the keys of an engine that was built with\n"
                "  -Dkey_log=true and started with CAUSEWAY_KEY_LOG=KEY_LOG. NEW_CAPTURE is then to be\n"
                "  looked at with wire/causeway.lua; it must not exist yet.\n");
        return 2;
    }
    struct capture capture = {.file = argv[1]};
    bool is_good = keys_read(&keys, argv[2]) && run(&capture, argv[3], &keys, &counts);
    keys_free(&keys);
    if (!is_good)
        return 1;
    printf("%llu packets, %llu sealed datagrams: %llu opened, %llu without a key, "
           "%llu damaged; %llu cut short\n",
           (unsigned long long)counts.packets, (unsigned long long)counts.sealed,
           (unsigned long long)counts.opened, (unsigned long long)counts.no_key,
           (unsigned long long)counts.bad, (unsigned long long)counts.cut);
    return 0;
}
