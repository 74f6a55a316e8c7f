/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcurl's multi interface, driven by whoever calls: so the watch goes on while a request waits. Both are
 * one easy handle each; connections are kept and used again by libcurl.
 */
#include "control/etcd_client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/assert.h"

struct transfer {
    CURL *easy;
    bool is_running, is_ended;
    CURLcode result;
    char *body; /* the request's, kept while it runs */
    char *bytes;
    size_t used, size;
    char error[CURL_ERROR_SIZE];
};

struct cw_etcd {
    struct cw_etcd_address address;
    uint32_t current; /* the member that answered last */
    CURLM *multi;
    struct curl_slist *headers;
    struct transfer request, watch;
    bool is_repeated;
    uint32_t watched; /* the member of the watch */
    atomic_bool is_stopped;
    char words[CW_ETCD_WORDS_SIZE];
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- opening */

static size_t on_bytes(char *bytes, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = one * count, size = transfer->size ? transfer->size : 4096;
    if (length > CW_ETCD_ANSWER_MAX - transfer->used)
        return 0;
    while (size < transfer->used + length + 1)
        size *= 2;
    char *grown = size == transfer->size ? transfer->bytes : realloc(transfer->bytes, size);
    if (!grown)
        return 0;
    transfer->bytes = grown;
    transfer->size = size;
    memcpy(grown + transfer->used, bytes, length);
    transfer->used += length;
    grown[transfer->used] = 0;
    return length;
}

/* The controller starts programs: none of them is to hold a connection. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_up(struct cw_etcd *etcd, struct transfer *transfer)
{
    const struct cw_etcd_address *address = &etcd->address;
    CURL *easy = transfer->easy = curl_easy_init();
    if (!easy)
        return false;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, etcd->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CW_ETCD_ATTEMPT_MS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a new file counts for the next connection */
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE,
                     0L); /* a session taken up has the certificate of then */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (address->authority[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, address->authority);
    if (address->certificate[0]) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, address->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, address->key);
    }
    return true;
}

static void set_up_library(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct cw_etcd *cw_etcd_open(const struct cw_etcd_address *address, char *why, size_t why_size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CW_ASSERT(address->count > 0);
    CW_ASSERT(address->count <= CW_ETCD_ENDPOINTS_MAX);
    pthread_once(&once, set_up_library);
    struct cw_etcd *etcd = calloc(1, sizeof *etcd);
    if (etcd) {
        etcd->address = *address;
        etcd->multi = curl_multi_init();
        etcd->headers = curl_slist_append(NULL, "Content-Type: application/json");
        if (etcd->multi && etcd->headers && curl_slist_append(etcd->headers, "Expect:") &&
            set_up(etcd, &etcd->request) && set_up(etcd, &etcd->watch))
            return etcd;
    }
    cw_etcd_close(etcd);
    snprintf(why, why_size, "no memory");
    return NULL;
}

static void end_transfer(struct cw_etcd *etcd, struct transfer *transfer)
{
    if (transfer->is_running)
        curl_multi_remove_handle(etcd->multi, transfer->easy);
    transfer->is_running = false;
    free(transfer->body);
    transfer->body = NULL;
}

void cw_etcd_close(struct cw_etcd *etcd)
{
    if (!etcd)
        return;
    struct transfer *both[] = {&etcd->request, &etcd->watch};
    for (int i = 0; i < 2; i++) {
        end_transfer(etcd, both[i]);
        curl_easy_cleanup(both[i]->easy);
        free(both[i]->bytes);
    }
    curl_multi_cleanup(etcd->multi);
    curl_slist_free_all(etcd->headers);
    free(etcd);
}

void cw_etcd_stop(struct cw_etcd *etcd)
{
    atomic_store(&etcd->is_stopped, true);
    curl_multi_wakeup(etcd->multi);
}

bool cw_etcd_is_repeated(const struct cw_etcd *etcd)
{
    return etcd->is_repeated;
}

const char *cw_etcd_words(const struct cw_etcd *etcd)
{
    return etcd->words;
}

const char *cw_etcd_endpoint(const struct cw_etcd *etcd)
{
    return etcd->address.endpoints[etcd->current];
}

/* ---------------------------------------------------------------- transfers */

static bool begin_transfer(struct cw_etcd *etcd, struct transfer *transfer, uint32_t member, const char *path,
                           char *body, uint32_t timeout_ms)
{
    char url[CW_ETCD_URL_SIZE + 64];
    CW_ASSERT(!transfer->is_running);
    transfer->body = body;
    transfer->used = 0;
    transfer->error[0] = 0;
    transfer->is_ended = false;
    snprintf(url, sizeof url, "%s%s", etcd->address.endpoints[member], path);
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    transfer->is_running = curl_multi_add_handle(etcd->multi, transfer->easy) == CURLM_OK;
    return transfer->is_running;
}

/* Has the awaited one ended? */
static bool take_ended(struct cw_etcd *etcd, const struct transfer *awaited)
{
    int left = 0;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(etcd->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *ended = message->easy_handle == etcd->watch.easy ? &etcd->watch : &etcd->request;
        ended->is_ended = true;
        ended->result = message->data.result;
    }
    return awaited->is_ended;
}

/* Lets both transfers go on, for at most wait_ms: until something happens to one of them. */
static void drive(struct cw_etcd *etcd, const struct transfer *awaited, uint32_t wait_ms)
{
    int running = 0;
    (void)curl_multi_perform(etcd->multi, &running);
    if (take_ended(etcd, awaited))
        return;
    (void)curl_multi_poll(etcd->multi, NULL, 0, (int)wait_ms, NULL);
    (void)curl_multi_perform(etcd->multi, &running);
    (void)take_ended(etcd, awaited);
}

/* Was nothing sent yet when it failed? */
static bool is_surely_undone(CURLcode result)
{
    switch (result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return true;
    default:
        return false;
    }
}

/* What the ended request came to. is_final: no other member is to be asked. */
static enum cw_etcd_outcome judge(struct cw_etcd *etcd, uint32_t member, json_t **answer, bool *is_final)
{
    struct transfer *request = &etcd->request;
    const char *endpoint = etcd->address.endpoints[member];
    enum cw_etcd_outcome outcome = CW_ETCD_DONE;
    long http = 0;
    if (request->result != CURLE_OK) {
        cw_etcd_say_curl(etcd->words, sizeof etcd->words, &etcd->address, endpoint, (int)request->result,
                         request->error);
        return is_surely_undone(request->result) ? CW_ETCD_NOT_DONE : CW_ETCD_UNKNOWN;
    }
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &http);
    *answer = request->used ? json_loadb(request->bytes, request->used, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (http == 200 && json_is_object(*answer) && !json_object_get(*answer, "error")) {
        *is_final = true;
        return CW_ETCD_DONE;
    }
    *is_final = cw_etcd_say_answer(etcd->words, sizeof etcd->words, endpoint, http, *answer, &outcome);
    json_decref(*answer);
    *answer = NULL;
    return outcome;
}

static enum cw_etcd_outcome attempt(struct cw_etcd *etcd, uint32_t member, const char *path, const char *body,
                                    uint32_t timeout_ms, json_t **answer, bool *is_final)
{
    uint64_t end_ms = monotonic_ms() + timeout_ms, now_ms;
    enum cw_etcd_outcome outcome = CW_ETCD_NOT_DONE;
    char *copy = strdup(body);
    snprintf(etcd->words, sizeof etcd->words, "etcd: no memory");
    if (!copy || !begin_transfer(etcd, &etcd->request, member, path, copy, timeout_ms)) {
        end_transfer(etcd, &etcd->request);
        return outcome;
    }
    while (!etcd->request.is_ended && (now_ms = monotonic_ms()) < end_ms + 50 &&
           !atomic_load(&etcd->is_stopped))
        drive(etcd, &etcd->request, (uint32_t)(end_ms + 50 - now_ms));
    if (!etcd->request.is_ended)
        etcd->request.result = CURLE_OPERATION_TIMEDOUT;
    etcd->request.is_ended = false;
    outcome = judge(etcd, member, answer, is_final);
    end_transfer(etcd, &etcd->request);
    return outcome;
}

enum cw_etcd_outcome cw_etcd_call(struct cw_etcd *etcd, const char *path, json_t *request,
                                  uint32_t patience_ms, json_t **answer)
{
    uint64_t end_ms = monotonic_ms() + patience_ms, now_ms;
    enum cw_etcd_outcome outcome = CW_ETCD_NOT_DONE;
    char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
    bool is_final = false, is_unknown = false;
    json_decref(request);
    *answer = NULL;
    snprintf(etcd->words, sizeof etcd->words, "%s", body ? "stopped" : "no memory");
    for (uint32_t i = 0; body && i < etcd->address.count && !is_final && !atomic_load(&etcd->is_stopped);
         i++) {
        uint32_t member = (etcd->current + i) % etcd->address.count;
        if ((now_ms = monotonic_ms()) >= end_ms)
            break;
        uint32_t left_ms = (uint32_t)(end_ms - now_ms);
        outcome = attempt(etcd, member, path, body,
                          left_ms < CW_ETCD_ATTEMPT_MS ? left_ms : CW_ETCD_ATTEMPT_MS, answer, &is_final);
        is_unknown = is_unknown || outcome == CW_ETCD_UNKNOWN;
        if (outcome == CW_ETCD_DONE)
            etcd->current = member;
    }
    free(body);
    etcd->is_repeated = is_unknown;
    return outcome == CW_ETCD_DONE ? outcome : is_unknown ? CW_ETCD_UNKNOWN : CW_ETCD_NOT_DONE;
}

/* ---------------------------------------------------------------- the watch */

bool cw_etcd_watch(struct cw_etcd *etcd, json_t *request)
{
    char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    cw_etcd_unwatch(etcd);
    etcd->watched = etcd->current;
    return body && begin_transfer(etcd, &etcd->watch, etcd->watched, "/v3/watch", body, 0);
}

void cw_etcd_unwatch(struct cw_etcd *etcd)
{
    end_transfer(etcd, &etcd->watch);
    etcd->watch.used = 0;
    etcd->watch.is_ended = false;
}

/* The first whole line of what came in; NULL: there is none. */
static const char *whole_line(const struct transfer *watch, size_t *length)
{
    const char *end = watch->used ? memchr(watch->bytes, '\n', watch->used) : NULL;
    *length = end ? (size_t)(end - watch->bytes) : 0;
    return end ? watch->bytes : NULL;
}

static enum cw_etcd_next watch_ended(struct cw_etcd *etcd)
{
    const char *endpoint = etcd->address.endpoints[etcd->watched];
    if (etcd->watch.result == CURLE_OK)
        snprintf(etcd->words, sizeof etcd->words, "etcd %s ended the watch", endpoint);
    else
        cw_etcd_say_curl(etcd->words, sizeof etcd->words, &etcd->address, endpoint, (int)etcd->watch.result,
                         etcd->watch.error);
    cw_etcd_unwatch(etcd);
    return CW_ETCD_NEXT_ENDED;
}

/* Takes a line; anything but a result ends the watch. */
static enum cw_etcd_next take_line(struct cw_etcd *etcd, const char *line, size_t length, json_t **result)
{
    enum cw_etcd_outcome outcome;
    json_t *whole = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *found = json_object_get(whole, "result");
    if (json_is_object(found)) {
        *result = json_incref(found);
        json_decref(whole);
        etcd->watch.used -= length + 1;
        memmove(etcd->watch.bytes, etcd->watch.bytes + length + 1, etcd->watch.used);
        return CW_ETCD_NEXT_RESULT;
    }
    (void)cw_etcd_say_answer(etcd->words, sizeof etcd->words, etcd->address.endpoints[etcd->watched], 200,
                             whole, &outcome);
    json_decref(whole);
    cw_etcd_unwatch(etcd);
    return CW_ETCD_NEXT_ENDED;
}

enum cw_etcd_next cw_etcd_watch_next(struct cw_etcd *etcd, uint32_t wait_ms, json_t **result)
{
    size_t length;
    *result = NULL;
    if (!etcd->watch.is_running)
        return CW_ETCD_NEXT_ENDED;
    const char *line = whole_line(&etcd->watch, &length);
    if (!line && !etcd->watch.is_ended && !atomic_load(&etcd->is_stopped)) {
        drive(etcd, &etcd->watch, wait_ms);
        line = whole_line(&etcd->watch, &length);
    }
    if (line)
        return take_line(etcd, line, length, result);
    return etcd->watch.is_ended ? watch_ended(etcd) : CW_ETCD_NEXT_NONE;
}
