/* SPDX-License-Identifier: BSD-3-Clause */
/* break-glass key, break-glass sign: what operators do where they are, with no site and no network. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "control/break_glass.h"
#include "control/cli.h"

#define SUFFIX        ".key"
#define PATH_SIZE     512
#define HOURS_DEFAULT 1

/* ---------------------------------------------------------------- keys */

/* A new file that only its owner may read; it is not there unless it is whole. */
static bool write_key(const char *path, EVP_PKEY *key)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    bool is_good = file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                   fflush(file) == 0 && fsync(fd) == 0;
    int error = errno;
    if (file)
        is_good = fclose(file) == 0 && is_good;
    if (fd >= 0 && !is_good)
        unlink(path);
    errno = error;
    return is_good;
}

int cw_run_break_glass_key(struct cw_cli *cli)
{
    const char *name = cli->operands[0], *directory = cw_cli_value(cli, "directory");
    char path[PATH_SIZE], text[2 * 32 + 1];
    uint8_t public[32];
    size_t size = sizeof public;
    if (!cw_config_name_check(name))
        return cw_failed(cli, CW_EXIT_USAGE, "%s: a name has 1 to 31 letters, digits, '-', '_', '.'", name);
    int length = snprintf(path, sizeof path, "%s/%s" SUFFIX, directory ? directory : ".", name);
    if (length < 0 || (size_t)length >= sizeof path)
        return cw_failed(cli, CW_EXIT_USAGE, "the directory's name is too long");
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool is_made = key && EVP_PKEY_get_raw_public_key(key, public, &size) == 1 && size == sizeof public;
    bool is_written = is_made && write_key(path, key);
    EVP_PKEY_free(key);
    if (!is_made)
        return cw_failed(cli, CW_EXIT_FAILED, "OpenSSL made no key");
    if (!is_written)
        return cw_failed(cli, errno == EEXIST ? CW_EXIT_REFUSED : CW_EXIT_FAILED, "%s: %s", path,
                         strerror(errno));
    for (size_t i = 0; i < sizeof public; i++)
        snprintf(text + 2 * i, 3, "%02x", public[i]);
    return cw_done(cli, "%s:%s", name, text);
}

static bool read_seed(const struct cw_cli *cli, const char *path, uint8_t *seed)
{
    size_t size = CW_TOKEN_SEED;
    FILE *file = fopen(path, "re");
    if (!file) {
        cw_failed(cli, CW_EXIT_FAILED, "%s: %s", path, strerror(errno));
        return false;
    }
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    bool is_good = key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
                   EVP_PKEY_get_raw_private_key(key, seed, &size) == 1 && size == CW_TOKEN_SEED;
    EVP_PKEY_free(key);
    if (!is_good)
        cw_failed(cli, CW_EXIT_FAILED, "%s: no key of causeway break-glass key", path);
    return is_good;
}

/* alice, of DIR/alice.key. */
static bool name_of(const char *path, char *name)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    size_t length = strlen(file);
    if (length <= strlen(SUFFIX) || strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0 ||
        length - strlen(SUFFIX) >= CW_CONFIG_NAME_SIZE)
        return false;
    memcpy(name, file, length - strlen(SUFFIX));
    name[length - strlen(SUFFIX)] = 0;
    return cw_config_name_check(name);
}

/* ---------------------------------------------------------------- tokens */

static int32_t hours_of(const struct cw_cli *cli)
{
    const char *text = cw_cli_value(cli, "hours");
    char *end;
    if (!text)
        return HOURS_DEFAULT;
    long hours = strtol(text, &end, 10);
    return *text && !*end && hours > 0 && hours <= (long)CW_TOKEN_HOURS_MAX ? (int32_t)hours : -1;
}

static void say_statement(const struct cw_token_request *request, const char *who, int64_t until)
{
    char when[32];
    cw_token_time(until, when);
    fprintf(stderr,
            "%s states, until %s: site %s of cluster %s may take group %s (%u) over from epoch %lu without a "
            "quorum of the store; whoever held it then writes no more, and stays off until it is connected "
            "to %s again.\n",
            who, when, request->site, request->cluster, request->name, request->group,
            (unsigned long)request->epoch, request->site);
}

int cw_run_break_glass_sign(struct cw_cli *cli)
{
    struct cw_token_request request;
    char who[CW_CONFIG_NAME_SIZE], token[CW_TOKEN_SIZE];
    uint8_t seed[CW_TOKEN_SEED];
    const char *path = cw_cli_value(cli, "key");
    int32_t hours = hours_of(cli);
    if (!path || !name_of(path, who))
        return cw_failed(cli, CW_EXIT_USAGE, "whose key? --key NAME" SUFFIX);
    if (hours < 0)
        return cw_failed(cli, CW_EXIT_USAGE, "--hours: 1 to %u", CW_TOKEN_HOURS_MAX);
    if (!cw_token_request_parse(cli->operands[0], &request))
        return cw_failed(cli, CW_EXIT_USAGE,
                         "that is no request: causeway promote GROUP --site S --break-glass prints one");
    if (!read_seed(cli, path, seed))
        return CW_EXIT_FAILED;
    int64_t until = (int64_t)time(NULL) + hours * (int64_t)3600;
    enum cw_status status = cw_token_sign(&request, until, who, seed, token);
    OPENSSL_cleanse(seed, sizeof seed);
    if (status != CW_OK)
        return cw_failed(cli, CW_EXIT_FAILED, "OpenSSL did not sign");
    say_statement(&request, who, until);
    return cw_done(cli, "%s", token);
}

/* A token, or the first line of a file of that name. */
static bool take_token(const struct cw_cli *cli, const char *word, json_t *tokens)
{
    char line[CW_TOKEN_SIZE + 2];
    if (strchr(word, ':') != NULL)
        return json_array_append_new(tokens, json_string(word)) == 0;
    FILE *file = fopen(word, "re");
    bool is_read = file && fgets(line, sizeof line, file) != NULL;
    if (file)
        fclose(file);
    if (!is_read) {
        cw_failed(cli, CW_EXIT_USAGE, "%s: neither a token nor a file with one", word);
        return false;
    }
    line[strcspn(line, "\r\n")] = 0;
    return json_array_append_new(tokens, json_string(line)) == 0;
}

bool cw_break_glass_tokens(const struct cw_cli *cli, json_t **tokens)
{
    json_t *words = cw_cli_list(cli, "break-glass"), *word;
    size_t index;
    bool ok = true;
    *tokens = json_array();
    json_array_foreach(words, index, word)
    {
        if (ok)
            ok = take_token(cli, json_string_value(word), *tokens);
    }
    json_decref(words);
    if (!ok)
        json_decref(*tokens);
    return ok;
}
