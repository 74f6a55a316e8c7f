/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of etcd v3 by its JSON gateway, over HTTP or HTTPS with certificates of both ends (libcurl).
 * Requests block, each attempt for a short while, and go from one member to the next; one watch streams
 * beside them. A client belongs to one thread, but for cw_etcd_stop.
 *
 * What etcd answers is foreign: sizes are bounded, and what is no answer of etcd's is refused. In words goes
 * what was wrong, at which member, and what to do about it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CW_ETCD_ENDPOINTS_MAX 8u
#define CW_ETCD_URL_SIZE      256u
#define CW_ETCD_ATTEMPT_MS    700u /* for one member to answer */
#define CW_ETCD_WORDS_SIZE    512u
/* Of an answer, and of a line of a watch; a page of a range is far smaller. */
#define CW_ETCD_ANSWER_MAX (32u * 1024u * 1024u)

struct cw_etcd_address {
    uint32_t count;
    char endpoints[CW_ETCD_ENDPOINTS_MAX][CW_ETCD_URL_SIZE]; /* asked in this order */
    /* PEM files, for https; "": none */
    char certificate[256], key[256], authority[256];
};

enum cw_etcd_outcome {
    CW_ETCD_DONE = 0,
    CW_ETCD_NOT_DONE, /* surely nothing was changed */
    CW_ETCD_UNKNOWN   /* no answer came: it may have been done, or be done yet */
};

struct cw_etcd;

/* NULL with words in why. Connects to nobody yet. */
struct cw_etcd *cw_etcd_open(const struct cw_etcd_address *address, char *why, size_t why_size);
void cw_etcd_close(struct cw_etcd *etcd);
/* From any thread: what blocks in this client ends soon, and everything fails from then on. */
void cw_etcd_stop(struct cw_etcd *etcd);

/* One request, to each member at most once, beginning with the one that answered last, within patience_ms.
 * Takes the request. answer: new reference when DONE, else NULL. */
enum cw_etcd_outcome cw_etcd_call(struct cw_etcd *etcd, const char *path, json_t *request,
                                  uint32_t patience_ms, json_t **answer);
/* The call that is DONE was tried before at a member that did not answer, and which may have done it. */
bool cw_etcd_is_repeated(const struct cw_etcd *etcd);
/* What went wrong last, with the member's address and the next step. Until the next call. */
const char *cw_etcd_words(const struct cw_etcd *etcd);
/* The member that is asked first. */
const char *cw_etcd_endpoint(const struct cw_etcd *etcd);

/* Begins the watch, at the member that answered last; one that runs is ended. Takes the request. */
bool cw_etcd_watch(struct cw_etcd *etcd, json_t *request);
void cw_etcd_unwatch(struct cw_etcd *etcd);
enum cw_etcd_next { CW_ETCD_NEXT_NONE = 0, CW_ETCD_NEXT_RESULT, CW_ETCD_NEXT_ENDED };
/* What the watch says next, waiting for it. RESULT: a new reference. ENDED: with words; it is no watch any
 * more. */
enum cw_etcd_next cw_etcd_watch_next(struct cw_etcd *etcd, uint32_t wait_ms, json_t **result);

/* etcd_words.c: what a failure means. error: libcurl's own words, may be empty. */
void cw_etcd_say_curl(char *words, size_t size, const struct cw_etcd_address *address, const char *endpoint,
                      int curl_code, const char *error);
/* etcd's alarm NOSPACE is raised: reads are answered, writes refused. */
void cw_etcd_say_no_space(char *words, size_t size, const char *endpoint);
/* An answer that is an error of etcd's or of its gateway's (or, with answer NULL, none of etcd's at all).
 * true: nothing was done, and no other member would say anything else. */
bool cw_etcd_say_answer(char *words, size_t size, const char *endpoint, long http, const json_t *answer,
                        enum cw_etcd_outcome *outcome);
