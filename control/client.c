/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding a controller and asking it. In a lab every site has one: --site names which, else the first that
 * answers does. What only another site can do is answered with that site's socket, and we go there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/cli.h"
#include "control/lab.h"

#define ASK_MS      15000
#define NODE_SOCKET "/run/causeway/control.sock"

json_t *cw_ask_socket(const char *path, const char *method, json_t *params, int timeout_ms,
                      struct cw_rpc_failure *failure)
{
    struct cw_rpc_connection connection;
    int fd = cw_rpc_connect(path);
    *failure = (struct cw_rpc_failure){.exit = CW_EXIT_FAILED};
    if (fd < 0) {
        snprintf(failure->words, sizeof failure->words,
                 "nobody answers at %s: %s. Does causeway-control run there, and may you open its socket?",
                 path, strerror(errno));
        json_decref(params);
        return NULL;
    }
    cw_rpc_connection_start(&connection, fd);
    json_t *result = cw_rpc_ask(&connection, method, params, timeout_ms, failure);
    cw_rpc_connection_close(&connection);
    return result;
}

static bool can_connect(const char *path)
{
    int fd = cw_rpc_connect(path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The socket of the lab's first site that answers. */
static bool find_in_lab(const struct cw_lab *lab, char *path, size_t size, struct cw_rpc_failure *failure)
{
    for (uint32_t i = 0; i < lab->site_count; i++) {
        snprintf(path, size, "%s/%s/control.sock", lab->directory, lab->sites[i]);
        if (can_connect(path))
            return true;
    }
    snprintf(failure->words, sizeof failure->words,
             "no controller of the lab %s answers: causeway lab start SITE", lab->directory);
    return false;
}

/* Which socket to ask. false with words. */
static bool find_socket(const struct cw_cli *cli, const char *site, char *path, size_t size,
                        struct cw_rpc_failure *failure)
{
    struct cw_lab lab;
    char why[320], sites[CW_LAB_LIST_SIZE];
    *failure = (struct cw_rpc_failure){.exit = CW_EXIT_FAILED};
    if (cli->socket || cli->connect) {
        snprintf(path, size, "%s", cli->connect ? "" : cli->socket);
        return true;
    }
    if (!cw_lab_load(cw_cli_lab(cli), &lab, why, sizeof why)) {
        snprintf(path, size, "%s", NODE_SOCKET);
        if (!cli->lab && can_connect(path))
            return true;
        snprintf(failure->words, sizeof failure->words, "%s", why);
        return false;
    }
    if (!site)
        return find_in_lab(&lab, path, size, failure);
    if (!cw_lab_has_site(&lab, site)) {
        failure->exit = CW_EXIT_USAGE;
        snprintf(failure->words, sizeof failure->words, "the lab %s has no site %s, but %s", lab.directory,
                 site, cw_lab_site_list(&lab, sites, sizeof sites));
        return false;
    }
    snprintf(path, size, "%s/%s/control.sock", lab.directory, site);
    if (can_connect(path))
        return true;
    snprintf(failure->words, sizeof failure->words,
             "the controller of %s does not answer: causeway lab start %s", site, site);
    return false;
}

/* Outside a lab we know one controller: what is for another site's goes by way of it. Takes params. */
static json_t *at_site(const struct cw_cli *cli, const char *path, const char *site, const char **method,
                       json_t *params)
{
    if (!site || (!cli->socket && !cli->connect && strcmp(path, NODE_SOCKET) != 0))
        return params;
    json_t *wrapped = json_pack("{s:s,s:s,s:o}", "site", site, "method", *method, "params",
                                params ? params : json_object());
    *method = "at";
    return wrapped;
}

static void say_note(const json_t *result)
{
    const char *note = cw_json_text(result, "note", "");
    if (*note)
        fprintf(stderr, "note: %s\n", note);
}

/* Asks for as long as it takes to reach the site that can do it: at most one step. */
static json_t *ask_there(const struct cw_cli *cli, char *path, size_t size, const char *method,
                         json_t *params, struct cw_rpc_failure *failure)
{
    if (cli->connect) {
        json_t *answer = cw_ask_remote(cli, method, params, ASK_MS, failure);
        say_note(answer);
        return answer;
    }
    json_t *result = cw_ask_socket(path, method, json_incref(params), ASK_MS, failure);
    if (!result && failure->elsewhere[0]) {
        snprintf(path, size, "%s", failure->elsewhere);
        result = cw_ask_socket(path, method, json_incref(params), ASK_MS, failure);
    }
    json_decref(params);
    say_note(result);
    return result;
}

static void add_reason(const struct cw_cli *cli, json_t *params)
{
    if (cli->reason)
        json_object_set_new(params, "reason", json_string(cli->reason));
}

json_t *cw_ask(const struct cw_cli *cli, const char *site, const char *method, json_t *params,
               struct cw_rpc_failure *failure)
{
    char path[CW_LAB_PATH_SIZE * 2];
    if (!find_socket(cli, site, path, sizeof path, failure)) {
        json_decref(params);
        return NULL;
    }
    add_reason(cli, params);
    params = at_site(cli, path, site, &method, params);
    return ask_there(cli, path, sizeof path, method, params, failure);
}

int cw_say_failure(const struct cw_cli *cli, const struct cw_rpc_failure *failure)
{
    return cw_failed(cli, failure->exit, "%s", failure->words);
}

/* Asks again and again how far it is. Exit code, everything said. */
static int wait_for(const struct cw_cli *cli, char *path, const json_t *begun, const char *done)
{
    struct cw_rpc_failure failure;
    const char *site = cw_json_text(begun, "site", NULL);
    for (;;) {
        json_t *params = json_pack("{s:O}", "id", json_object_get(begun, "operation"));
        if (site) /* it goes on at another site, and is asked for there by the one that we speak to */
            json_object_set_new(params, "site", json_string(site));
        json_t *answer = cli->connect ? cw_ask_remote(cli, "operation", params, ASK_MS, &failure)
                                      : cw_ask_socket(path, "operation", params, ASK_MS, &failure);
        if (!answer)
            return cw_failed(cli, CW_EXIT_FAILED, "%s; it may or may not have been done: causeway status",
                             failure.words);
        const char *words = cw_json_text(answer, "words", "");
        int exit = (int)cw_json_u64(answer, "exit", 1);
        bool is_done = cw_json_bool(answer, "done", false);
        json_t *pause = json_object_get(answer, "pause");
        if (is_done)
            exit = exit ? cw_failed(cli, exit, "%s", words)
                        : cw_done_with(cli, pause ? json_pack("{s:O}", "pause", pause) : NULL, "%s%s%s", done,
                                       *done ? ": " : "", words);
        else
            cw_progress(cli, "%s", words);
        json_decref(answer);
        if (is_done)
            return exit;
        cw_pause_ms(50);
    }
}

int cw_ask_and_wait(const struct cw_cli *cli, const char *site, const char *method, json_t *params,
                    const char *done)
{
    char path[CW_LAB_PATH_SIZE * 2];
    struct cw_rpc_failure failure;
    if (!find_socket(cli, site, path, sizeof path, &failure)) {
        json_decref(params);
        return cw_say_failure(cli, &failure);
    }
    add_reason(cli, params);
    params = at_site(cli, path, site, &method, params);
    json_t *answer = ask_there(cli, path, sizeof path, method, params, &failure);
    if (!answer)
        return cw_say_failure(cli, &failure);
    bool is_begun = cw_json_u64(answer, "operation", 0) != 0;
    int code = is_begun ? wait_for(cli, path, answer, done) : cw_done(cli, "%s", done);
    json_decref(answer);
    return code;
}
