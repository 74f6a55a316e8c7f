/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sites say of themselves: facts (each one's last status), events, and the audit, which only grows.
 * Nobody's authority follows from any of it, so it is kept apart from the store (store.h), and every site can
 * keep its own. Always a file on this machine; with the embedded store it is the store's file. A site's own
 * one outlives its file: book_own.h.
 *
 * One thread uses a book. CW_IO, CW_AGAIN: it did not take or give it, somebody else may have the lock.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct cw_book;

/* What its file has done to a book. */
enum cw_book_trouble {
    CW_BOOK_SOUND = 0,
    CW_BOOK_UNWRITABLE, /* full, read-only, not to be opened, locked: what it holds may be good */
    CW_BOOK_DAMAGED     /* what it holds is not what was written */
};
#define CW_BOOK_WORDS_SIZE   160u
#define CW_BOOK_MEMORY       ":memory:" /* in place of a file */
#define CW_BOOK_MEMORY_LINES 10000u     /* of audit, as many as events: older ones go */

/* Opens, and makes it if it is not there. NULL with words in why. */
struct cw_book *cw_book_open(const char *file, char *why, size_t why_size);
/* The same, with what is wrong in *trouble, and waiting so long for a lock. */
struct cw_book *cw_book_open_within(const char *file, uint32_t wait_ms, enum cw_book_trouble *trouble,
                                    char *why, size_t why_size);
void cw_book_close(struct cw_book *book);
/* Closes it and leaves its files as they are, also what was not yet moved into the first one. */
void cw_book_close_as_is(struct cw_book *book);
/* The worst since it was opened; *words: the words, borrowed. What was asked may have been answered in part. */
enum cw_book_trouble cw_book_trouble(const struct cw_book *book, const char **words);
/* Takes a write, durably, and forgets it: is there room, and may it? */
enum cw_status cw_book_try(struct cw_book *book) CW_MUST_CHECK;

/* A site's word on itself. Not synced: it is told again every second. */
enum cw_status cw_book_facts_put(struct cw_book *book, const char *site, const json_t *facts) CW_MUST_CHECK;
/* facts: new reference or NULL; counter moves with every put. */
enum cw_status cw_book_facts(struct cw_book *book, const char *site, json_t **facts,
                             uint64_t *counter) CW_MUST_CHECK;

/* Calls take with every site's counter: so that what has not moved need not be read. */
enum cw_status cw_book_facts_counters(struct cw_book *book,
                                      void (*take)(void *context, const char *site, uint64_t counter),
                                      void *context) CW_MUST_CHECK;

/* level: 0 info, 1 warning, 2 error. group may be "". */
enum cw_status cw_book_event_add(struct cw_book *book, int level, const char *site, const char *group,
                                 const char *text) CW_MUST_CHECK;
/* A new array of {"id","time","level","site","group","text"} with id > after, oldest first. */
json_t *cw_book_events(struct cw_book *book, uint64_t after, uint32_t limit);

/* ---------------------------------------------------------------- streams
 *
 * What one book of one site tells is a stream: "east:0123456789abcdef". Its events and its lines of audit are
 * numbered each from 1, whoever keeps a copy. A book that was lost and made anew begins another one.
 */
#define CW_BOOK_ID_SIZE     17u
#define CW_BOOK_STREAM_SIZE 64u
#define CW_BOOK_HASH_SIZE   65u   /* SHA-256 in hex, and the end */
#define CW_BOOK_TEXT_MAX    4000u /* of a line of audit */
#define CW_BOOK_STREAMS_MAX 64u

/* Who asked for what, and what came of it: an object, which is kept as its text. Durable when it returns.
 * Each line has a hash over its text and the hash of the one before it; nothing takes lines away. Who may
 * write the file can write all of it anew: it is the copies at other sites that tell then. */
enum cw_status cw_book_audit_add(struct cw_book *book, const char *site, const json_t *line) CW_MUST_CHECK;
/* A new array of {"id","stream","number","hash","good":bool,"line":{...}} with id > after, oldest first.
 * good: the hash is that of this text after the line before it. A text that is no JSON any more is {"text"}.
 */
json_t *cw_book_audit(struct cw_book *book, uint64_t after, uint32_t limit);
/* Looks through the next `lines` lines of the audit, in the end through all, then anew. false: a line was
 * changed, is missing, or the last ones were cut off; with words. *is_round: the last one was looked at. */
bool cw_book_audit_check(struct cw_book *book, uint32_t lines, bool *is_round, char *why, size_t why_size);

/* ---------------------------------------------------------------- telling other books
 *
 * An exchange is: ask with cw_book_have, answer with cw_book_since, cw_book_take what comes. Streams that a
 * site has from others are told on, so that all sites have all, by way of any.
 */
/* {"east:0123456789abcdef":{"events":17,"audit":5,"hash":"..."}}: the last numbers of each stream; new
 * reference. */
json_t *cw_book_have(struct cw_book *book);
/* What comes after that: {"events":[...],"audit":[...],"differs":["east:..."],"more":bool}, at most half of
 * CW_RPC_LINE_MAX; more: ask again. differs: of this stream both have a line of audit with one number, and it
 * is not the same. `have` is foreign bytes; new reference. */
json_t *cw_book_since(struct cw_book *book, const json_t *have);
struct cw_book_taken {
    uint32_t events, lines, nonsense; /* taken; taken; not even looked at further */
    bool is_more;
    bool is_own_ahead; /* another has more of this book's own stream than it has: it was put back to what it
                          was */
    char differs[CW_BOOK_STREAM_SIZE]; /* the audit of this stream is another one there; "": of none */
};
/* Takes such an answer, foreign bytes; own_site: whose stream of this book nobody else may go on with. */
enum cw_status cw_book_take(struct cw_book *book, const char *own_site, const json_t *answer,
                            struct cw_book_taken *taken) CW_MUST_CHECK;
/* From now on what this book tells is another stream: after is_own_ahead. What is there stays. */
enum cw_status cw_book_begin_anew(struct cw_book *book) CW_MUST_CHECK;
