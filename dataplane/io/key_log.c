/* SPDX-License-Identifier: BSD-3-Clause */
#include "io/key_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"

#define KEY_BYTES   32u
#define INNER_AT    64u /* in the state: what comes before is ours, and the inner state stays aligned */
#define LINE_FORMAT "CAUSEWAY_KEY %08x AES-256-GCM "

struct logged_key {
    uint8_t key[KEY_BYTES];
    bool is_logged;
};
static_assert(sizeof(struct logged_key) <= INNER_AT, "ours stands before the inner state");

static const struct cw_aead_ops *inner_ops;
static int log_fd = -1;

enum cw_status cw_key_log_open(const char *file, char *why, size_t why_size)
{
    struct stat st;
    CW_ASSERT(log_fd < 0);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(why, why_size, "the key log %s: %s", file, strerror(errno));
        return CW_IO;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
        snprintf(why, why_size,
                 "the key log %s must be a plain file that only its owner may read (chmod 600)", file);
        close(fd);
        return CW_REFUSED;
    }
    log_fd = fd;
    return CW_OK;
}

/* A line that cannot be written is missed by who opens the capture; the session goes on. */
static void write_line(uint32_t spi, const uint8_t key[KEY_BYTES])
{
    char line[128];
    int length = snprintf(line, sizeof line, LINE_FORMAT, spi);
    for (uint32_t i = 0; i < KEY_BYTES; i++)
        length += snprintf(line + length, sizeof line - (size_t)length, "%02x", key[i]);
    line[length++] = '\n';
    ssize_t written = write(log_fd, line, (size_t)length);
    (void)written;
    explicit_bzero(line, sizeof line);
}

/* The table calls a state const that its owner may change; this is the one change after key_expand. */
static void look(const void *state, const uint8_t iv[12])
{
    struct logged_key *key = (struct logged_key *)(uintptr_t)state;
    if (key->is_logged)
        return;
    key->is_logged = true;
    write_line(cw_load32be(iv), key->key);
}

static const void *inner_state(const void *state)
{
    return (const uint8_t *)state + INNER_AT;
}

static void key_expand(void *state, const uint8_t key[32])
{
    struct logged_key *ours = state;
    memcpy(ours->key, key, sizeof ours->key);
    ours->is_logged = false;
    inner_ops->key_expand((uint8_t *)state + INNER_AT, key);
}

static void seal(const void *state, uint8_t *cipher, const uint8_t *plain, size_t length,
                 const uint8_t iv[12], const uint8_t *aad, size_t aad_length, uint8_t tag[16])
{
    look(state, iv);
    inner_ops->seal(inner_state(state), cipher, plain, length, iv, aad, aad_length, tag);
}

static bool open_sealed(const void *state, uint8_t *plain, const uint8_t *cipher, size_t length,
                        const uint8_t iv[12], const uint8_t *aad, size_t aad_length, const uint8_t tag[16])
{
    if (!inner_ops->open(inner_state(state), plain, cipher, length, iv, aad, aad_length, tag))
        return false;
    look(state, iv);
    return true;
}

const struct cw_aead_ops *cw_key_log_over(const struct cw_aead_ops *inner)
{
    static struct cw_aead_ops ops = {
        .name = "key log", .key_expand = key_expand, .seal = seal, .open = open_sealed};
    CW_ASSERT(log_fd >= 0);
    inner_ops = inner;
    ops.key_state_size = INNER_AT + inner->key_state_size;
    return &ops;
}
