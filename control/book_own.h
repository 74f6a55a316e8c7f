/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The book of one site, in a file of its own, that outlives its file. No authority follows from a book, so
 * nothing that happens to it may keep a controller from its work:
 *
 *     in the file --damaged-------------> the file is kept beside it, a new one is begun
 *     in the file --takes nothing-------> in memory, bounded; the file is tried again by and by
 *     in memory   --the file takes it---> in the file, and what was told meanwhile goes there, too
 *
 * A book in the embedded store's file is not one of these: authority is in that file, and it is never moved.
 */
#pragma once

#include "control/book.h"

#define CW_BOOK_FILE_SIZE 288u
#define CW_BOOK_NEWS_SIZE 900u

struct cw_own_book {
    struct cw_book *book;         /* in use, never NULL once opened; another one after each news */
    struct cw_book *memory;       /* NULL: it was never needed. Kept, so that it stays one stream */
    char file[CW_BOOK_FILE_SIZE]; /* "": a book that is the store's, too */
    uint64_t device, inode;       /* of the file that is open */
    bool is_handing_over;         /* what memory has is on its way into the file */
    uint64_t try_ns, wait_ns;     /* in memory: when the file is tried next, and how long after that */
    uint64_t back_ns;             /* since when it is in the file again */
    uint64_t look_ns;             /* when it is looked next whether the file is still that one */
    uint64_t moved_ns, locked_ns; /* when one was last moved aside; since when somebody has it locked; 0 */
    uint32_t moved_count;
    char why[CW_BOOK_WORDS_SIZE + CW_BOOK_FILE_SIZE];    /* it is in memory; "": it is in its file */
    char damage[CW_BOOK_WORDS_SIZE + CW_BOOK_FILE_SIZE]; /* of the one that was last moved aside */
    char moved[CW_BOOK_FILE_SIZE + 32]; /* where the last damaged one is; "": there was none */
    int level;                          /* of the news, as an event's */
    char news[CW_BOOK_NEWS_SIZE];
};

/* Opens the file, or goes on without. news: what is to be told, "" nothing. false: there is no memory. */
bool cw_own_book_open(struct cw_own_book *own, const char *file, uint64_t now_ns);
void cw_own_book_close(struct cw_own_book *own);
/* What has its file done since? true: `book` is another one now, and news says why. Once a tick, and after
 * what the book did not take. site: whose book it is. */
bool cw_own_book_look(struct cw_own_book *own, const char *site, uint64_t now_ns);
bool cw_own_book_is_in_memory(const struct cw_own_book *own);
