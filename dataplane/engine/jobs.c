/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/jobs.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "base/assert.h"

static void append(struct cw_job **first, struct cw_job **last, struct cw_job *job)
{
    job->next = NULL;
    if (*last != NULL)
        (*last)->next = job;
    else
        *first = job;
    *last = job;
}

static struct cw_job *pop(struct cw_job **first, struct cw_job **last)
{
    struct cw_job *job = *first;
    if (job == NULL)
        return NULL;
    *first = job->next;
    if (*first == NULL)
        *last = NULL;
    return job;
}

static void finish(struct cw_jobs *jobs, struct cw_job *job)
{
    uint64_t one = 1;
    append(&jobs->finished_first, &jobs->finished_last, job);
    ssize_t written = write(jobs->wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes as well */
}

static void *worker(void *argument)
{
    struct cw_jobs *jobs = argument;
    (void)pthread_setname_np(pthread_self(), "causeway-jobs");
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->must_stop) {
        struct cw_job *job = pop(&jobs->waiting_first, &jobs->waiting_last);
        if (job == NULL) {
            pthread_cond_wait(&jobs->wanted, &jobs->lock);
            continue;
        }
        pthread_mutex_unlock(&jobs->lock);
        job->run(job);
        pthread_mutex_lock(&jobs->lock);
        finish(jobs, job);
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

bool cw_jobs_start(struct cw_jobs *jobs, int wake_fd)
{
    sigset_t all, before;
    *jobs = (struct cw_jobs){.wake_fd = wake_fd};
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->wanted, NULL);
    sigfillset(&all);
    sigdelset(&all, SIGSEGV); /* a blocked fault kills without last words */
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&jobs->thread, NULL, worker, jobs);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

void cw_jobs_stop(struct cw_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->must_stop = true;
    pthread_cond_signal(&jobs->wanted);
    pthread_mutex_unlock(&jobs->lock);
    (void)pthread_join(jobs->thread, NULL);
}

void cw_jobs_submit(struct cw_jobs *jobs, struct cw_job *job)
{
    CW_ASSERT(job->run != NULL);
    CW_ASSERT(job->done != NULL);
    jobs->under_way++;
    pthread_mutex_lock(&jobs->lock);
    append(&jobs->waiting_first, &jobs->waiting_last, job);
    pthread_cond_signal(&jobs->wanted);
    pthread_mutex_unlock(&jobs->lock);
}

void cw_jobs_reap(struct cw_jobs *jobs)
{
    for (;;) {
        pthread_mutex_lock(&jobs->lock);
        struct cw_job *job = pop(&jobs->finished_first, &jobs->finished_last);
        pthread_mutex_unlock(&jobs->lock);
        if (job == NULL)
            return;
        jobs->under_way--;
        job->done(job);
    }
}
