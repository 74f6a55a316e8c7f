/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Work that blocks: creating and opening files, recovery, image files, salvage. One worker thread, one job
 * at a time, in order; the control thread only hands jobs over and hears when they are done, so that leases
 * are renewed while a journal of many gigabytes is created.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct cw_job {
    void (*run)(struct cw_job *job);  /* worker thread */
    void (*done)(struct cw_job *job); /* control thread, after run; frees it */
    struct cw_job *next;
};

struct cw_jobs {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct cw_job *waiting_first, *waiting_last;
    struct cw_job *finished_first, *finished_last;
    int wake_fd; /* eventfd, written when a job has finished */
    bool must_stop;
    unsigned under_way; /* control thread: submitted and not done */
};

/* wake_fd is borrowed. False: no thread. */
bool cw_jobs_start(struct cw_jobs *jobs, int wake_fd);
/* Waits for the job at hand; those that wait are dropped without done. */
void cw_jobs_stop(struct cw_jobs *jobs);
void cw_jobs_submit(struct cw_jobs *jobs, struct cw_job *job);
/* Control thread: calls done for what has finished. */
void cw_jobs_reap(struct cw_jobs *jobs);
