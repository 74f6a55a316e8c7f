/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key log and causeway-open: two sessions with forward error correction, through two replacements of
 * their keys, are captured while their keys are logged; the tool must then give back, for each sealed
 * datagram, the very bytes that went into its seal, and change nothing else.
 *
 * CW_KEEP_IN: a directory for capture, opened capture and frames.txt (for each packet of the capture a line
 * with the types of its frames), which test_opened.py shows to the dissector. CW_OPEN: the tool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/numbers.h"
#include "io/key_log.h"
#include "pair.h"
#include "transport/frames.h"
#include "wire/packet.h"

#define PACKETS_MAX 8192u
#define IP_UDP      28u
#define RECORD      16u
#define FILE_HEADER 24u
#define RAW_IP      101u

static struct cw_pair *pair;
static const struct cw_aead_ops *logged;
static char folder[256];

/* What was captured, in order; of a sealed one also what went into the seal. */
static struct packet {
    uint8_t *bytes, *plain;
    size_t length, plain_length;
} packets[PACKETS_MAX];
static uint32_t packet_count;

static uint8_t last_plain[65536];
static size_t last_length;

static uint8_t *copy_of(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return copy;
}

static void seal_seen(const void *state, uint8_t *cipher, const uint8_t *plain, size_t length,
                      const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    memcpy(last_plain, plain, length);
    last_length = length;
    logged->seal(state, cipher, plain, length, iv, aad, aad_length, tag);
}

static bool is_sealed(const uint8_t *datagram)
{
    return cw_load32be(datagram + 4) != CW_SPI_HANDSHAKE;
}

static void tap(struct cw_pair *of, int from, uint8_t *datagram, size_t length)
{
    struct packet *packet = &packets[packet_count++];
    assert_true(packet_count <= PACKETS_MAX);
    *packet = (struct packet){.bytes = copy_of(datagram, length), .length = length};
    if (!is_sealed(datagram))
        return;
    assert_int_equal(length, last_length + CW_PACKET_OVERHEAD);
    packet->plain = copy_of(last_plain, last_length);
    packet->plain_length = last_length;
}

static const char *path_of(const char *name)
{
    static char paths[4][300];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- files ---- */

static void write_capture(const char *name)
{
    uint8_t header[RECORD + IP_UDP] = {0}, *ip = header + RECORD;
    const uint32_t file_header[6] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, RAW_IP};
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fwrite(file_header, sizeof file_header, 1, file);
    for (uint32_t i = 0; i < packet_count; i++) {
        uint32_t length = (uint32_t)packets[i].length + IP_UDP;
        cw_store32le(header, i);
        cw_store32le(header + 8, length);
        cw_store32le(header + 12, length);
        cw_store32be(ip, 0x45000000u | length);
        cw_store32be(ip + 8, 64u << 24 | 17u << 16);
        cw_store32be(ip + 12, 0x0a000001);
        cw_store32be(ip + 16, 0x0a000002);
        cw_store32be(ip + 20, 40000u << 16 | 7400u);
        cw_store32be(ip + 24, (length - 20) << 16 | 0x1234u);
        fwrite(header, sizeof header, 1, file);
        fwrite(packets[i].bytes, packets[i].length, 1, file);
    }
    assert_int_equal(fclose(file), 0);
}

static int open_capture(const char *capture, const char *keys, const char *to)
{
    char command[1600];
    const char *tool = getenv("CW_OPEN");
    assert_non_null(tool);
    unlink(path_of(to));
    snprintf(command, sizeof command, "'%s' '%s' '%s' '%s' >'%s' 2>&1", tool, path_of(capture), path_of(keys),
             path_of(to), path_of("said"));
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_said(const char *what)
{
    char line[512] = "";
    FILE *file = fopen(path_of("said"), "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    if (!strstr(line, what))
        fail_msg("said: %s", line);
}

/* Calls of it go through the packets of the file. */
static void next_packet(FILE *file, uint8_t *datagram, size_t length)
{
    uint8_t header[RECORD + IP_UDP];
    assert_int_equal(fread(header, sizeof header, 1, file), 1);
    assert_int_equal(cw_load32le(header + 8), length + IP_UDP);
    assert_int_equal(fread(datagram, length, 1, file), 1);
}

/* ---- the session ---- */

static void talk(void)
{
    static struct cw_aead_ops seen;
    struct cw_session_config initiator, responder;
    struct cw_link_config link = {.delay_ns = CW_MS, .loss_per_million = 20000};
    cw_pair_defaults(&initiator, &responder, 11);
    seen = *logged;
    seen.seal = seal_seen;
    initiator.aead = responder.aead = &seen;
    initiator.paths[0].fec = responder.paths[0].fec = (struct cw_fec_config){CW_FEC_FIXED, 8, 2, 2};
    initiator.paths[0].is_mtu_probed = true;
    cw_pair_init(pair, &initiator, &responder, &link, 11);
    pair->tap = tap;
    pair->has_addresses = true;
    assert_true(cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, cw_pair_is_up));
    cw_pair_run(pair, pair->now_ns + CW_SECOND, NULL);
    for (int i = 0; i < 14; i++) {
        assert_true(cw_pair_send(pair, 0, CW_STREAM_LIVE, 96, 65536));
        assert_true(cw_pair_send(pair, 1, CW_STREAM_CONTROL, 64, 0));
        assert_true(cw_pair_run(pair, pair->now_ns + 60 * CW_SECOND, cw_pair_is_finished));
        cw_pair_run(pair, pair->now_ns + 10 * CW_SECOND, NULL);
    }
    pair->sides[0].address = pair->sides[0].also = 1; /* it is asked whether it is there, and answers */
    cw_pair_run(pair, pair->now_ns + 5 * CW_SECOND, NULL);
    cw_session_close(pair->sides[0].session, pair->now_ns);
    cw_pair_run(pair, pair->now_ns + 10 * CW_MS, NULL);
    cw_pair_fini(pair);
}

static int set_up(void **state)
{
    char why[256];
    const char *keep = getenv("CW_KEEP_IN");
    snprintf(folder, sizeof folder, "%s", keep ? keep : "/tmp/causeway-key-log-XXXXXX");
    if (!keep)
        assert_non_null(mkdtemp(folder));
    pair = calloc(1, sizeof *pair);
    assert_non_null(pair);

    FILE *open_to_all = fopen(path_of("open"), "w");
    assert_non_null(open_to_all);
    fclose(open_to_all);
    assert_int_equal(chmod(path_of("open"), 0640), 0);
    assert_int_equal(symlink("keys", path_of("link")), 0);
    assert_int_equal(cw_key_log_open(path_of("open"), why, sizeof why), CW_REFUSED);
    assert_int_equal(cw_key_log_open("/dev/null", why, sizeof why), CW_REFUSED);
    assert_int_equal(cw_key_log_open(path_of("link"), why, sizeof why), CW_IO);
    assert_int_equal(cw_key_log_open(path_of("keys"), why, sizeof why), CW_OK);
    logged = cw_key_log_over(cw_pair_aead());
    talk();
    write_capture("capture.pcap");
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"open",  "link",   "keys", "capture.pcap", "opened.pcap",
                                        "other", "broken", "said", "frames.txt"};
    for (uint32_t i = 0; i < packet_count; i++) {
        free(packets[i].bytes);
        free(packets[i].plain);
    }
    free(pair);
    if (getenv("CW_KEEP_IN"))
        return 0;
    for (size_t i = 0; i < CW_COUNT_OF(names); i++)
        unlink(path_of(names[i]));
    return rmdir(folder);
}

/* ---- stories ---- */

/* Lines of the log about this SPI, all with one key. */
static unsigned lines_of(uint32_t wanted)
{
    unsigned count = 0, spi;
    char line[256], key[65], first[65] = "";
    FILE *file = fopen(path_of("keys"), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        assert_int_equal(sscanf(line, "CAUSEWAY_KEY %8x AES-256-GCM %64[0-9a-f]\n", &spi, key), 2);
        assert_int_equal(strlen(line), 13 + 8 + 13 + 64 + 1);
        if (spi != wanted)
            continue;
        if (count++ > 0)
            assert_string_equal(key, first);
        memcpy(first, key, sizeof first);
    }
    fclose(file);
    return count;
}

/* By who seals and by who opens. */
static void the_log_is_its_owners_and_has_each_key_of_both_sides(void **state)
{
    struct stat st;
    uint32_t seen[64], count = 0;
    assert_int_equal(stat(path_of("keys"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    for (uint32_t i = 0; i < packet_count; i++) {
        uint32_t spi = cw_load32be(packets[i].bytes + 4), at = 0;
        while (at < count && seen[at] != spi)
            at++;
        if (!packets[i].plain || at < count)
            continue;
        assert_true(count < CW_COUNT_OF(seen));
        seen[count++] = spi;
        assert_int_equal(lines_of(spi), 2);
    }
    assert_true(count >= 2 * 3); /* two directions of three generations */
}

static uint32_t note_frames(const struct packet *packet, FILE *notes, uint32_t seen[CW_FRAME_TYPE_COUNT])
{
    struct cw_frame frame;
    uint32_t count = 0;
    bool is_framed = packet->plain && (packet->bytes[16] & 0x0f) != CW_PACKET_REPAIR;
    for (size_t at = 0; is_framed && at < packet->plain_length; count++) {
        size_t size = cw_frame_decode(packet->plain + at, packet->plain_length - at, &frame);
        assert_true(size > 0);
        fprintf(notes, count ? ",%u" : "%u", frame.type);
        seen[frame.type]++;
        at += size;
    }
    fprintf(notes, "\n");
    return count;
}

static void every_seal_is_opened(void **state)
{
    static uint8_t datagram[65536];
    uint8_t file_header[FILE_HEADER];
    uint32_t seen[CW_FRAME_TYPE_COUNT] = {0}, sealed = 0;
    struct stat st;
    char counts[64];
    assert_int_equal(open_capture("capture.pcap", "keys", "opened.pcap"), 0);
    assert_int_equal(stat(path_of("opened.pcap"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    FILE *file = fopen(path_of("opened.pcap"), "r"), *notes = fopen(path_of("frames.txt"), "w");
    assert_non_null(file);
    assert_non_null(notes);
    assert_int_equal(fread(file_header, sizeof file_header, 1, file), 1);
    for (uint32_t i = 0; i < packet_count; i++) {
        const struct packet *packet = &packets[i];
        next_packet(file, datagram, packet->length);
        note_frames(packet, notes, seen);
        if (!packet->plain) {
            assert_memory_equal(datagram, packet->bytes, packet->length);
            continue;
        }
        sealed++;
        assert_memory_equal(datagram, packet->bytes, CW_PACKET_HEADER_SIZE);
        assert_memory_equal(datagram + CW_PACKET_HEADER_SIZE, packet->plain, packet->plain_length);
        assert_memory_equal(datagram + packet->length - CW_PACKET_TAG_SIZE, "causeway: opened",
                            CW_PACKET_TAG_SIZE);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    fclose(notes);
    for (int type = CW_FRAME_ACK; type < CW_FRAME_TYPE_COUNT; type++)
        assert_true(seen[type] > 0); /* there was something to look for */
    snprintf(counts, sizeof counts, "%u sealed datagrams: %u opened, 0 without a key, 0 damaged", sealed,
             sealed);
    expect_said(counts);
}

static void what_cannot_be_opened_is_left_as_it_is(void **state)
{
    FILE *file = fopen(path_of("other"), "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < packet_count; i++) { /* one key, a wrong one, of the first SPI */
        if (!packets[i].plain)
            continue;
        fprintf(file, "CAUSEWAY_KEY %08x AES-256-GCM %064x\n", cw_load32be(packets[i].bytes + 4), 7);
        break;
    }
    fclose(file);
    assert_int_equal(open_capture("capture.pcap", "other", "opened.pcap"), 0);
    expect_said(": 0 opened");
    char command[700];
    snprintf(command, sizeof command, "cmp -s '%s' '%s'", path_of("capture.pcap"), path_of("opened.pcap"));
    assert_int_equal(system(command), 0);
}

static void no_file_is_believed(void **state)
{
    static const struct {
        const char *content, *said;
        size_t length;
    } bad[] = {
        {"", "too short", 0},
        {"\x0a\x0d\x0d\x0a____________________", "pcapng", 24},
        {"hello, hello, hello, hello", "no capture", 24},
        {"\xd4\xc3\xb2\xa1\2\0\4\0________\0\0\0\0\xff\0\0\0", "kind of link", 24},
        {"\xd4\xc3\xb2\xa1\2\0\4\0________\0\0\0\0\x65\0\0\0xx", "within a packet", 26},
        {"\xd4\xc3\xb2\xa1\2\0\4\0________\0\0\0\0\x65\0\0\0xxxxxxxx\xff\xff\xff\x7f____", "longer", 40},
        {"\xd4\xc3\xb2\xa1\2\0\4\0________\0\0\0\0\x65\0\0\0xxxxxxxx\2\0\0\0____a", "within a packet", 41},
    };
    for (size_t i = 0; i < CW_COUNT_OF(bad); i++) {
        FILE *file = fopen(path_of("broken"), "w");
        assert_non_null(file);
        fwrite(bad[i].content, bad[i].length, 1, file);
        fclose(file);
        assert_int_equal(open_capture("broken", "keys", "opened.pcap"), 1);
        expect_said(bad[i].said);
    }
    assert_int_equal(open_capture("capture.pcap", "capture.pcap", "opened.pcap"), 1);
    expect_said("not a line of a key log");
    assert_int_equal(open_capture("capture.pcap", "nowhere", "opened.pcap"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_is_its_owners_and_has_each_key_of_both_sides),
        cmocka_unit_test(what_cannot_be_opened_is_left_as_it_is),
        cmocka_unit_test(no_file_is_believed),
        cmocka_unit_test(every_seal_is_opened),
    };
    return cmocka_run_group_tests_name("io/key_log", tests, set_up, tear_down);
}
