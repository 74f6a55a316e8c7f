/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a running group asks of files: the image file of a full copy, the salvage of a tail that was cut off.
 * The store lcore asks by mail; a job of the worker does it, and a command brings the answer back, for which
 * the group waits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "engine/control.h"

struct file_job {
    struct cw_job job;
    struct cw_control *control;
    struct cw_store_group *group;
    uint8_t slot, op;
    struct cw_salvage salvage;
    enum cw_status status;
    char why[CW_WHY_SIZE];
};

static struct file_job *file_job_new(struct cw_control *control, const struct cw_mail *mail,
                                     void (*run)(struct cw_job *), void (*done)(struct cw_job *))
{
    struct file_job *job = calloc(1, sizeof *job);
    CW_ASSERT(job != NULL && "a few bytes on the control thread");
    job->job.run = run;
    job->job.done = done;
    job->control = control;
    job->slot = mail->slot;
    return job;
}

static void answer_file_job(struct file_job *job, uint8_t type)
{
    struct cw_command *command = cw_control_command(type, job->slot, cw_control_free_command, NULL);
    command->status = job->status;
    cw_control_post(job->control, command);
    if (job->status != CW_OK)
        cw_control_event(job->control, 2, job->group->id, "%s", job->why);
    free(job);
}

static void run_image(struct cw_job *base)
{
    struct file_job *job = CW_CONTAINER_OF(base, struct file_job, job);
    job->status = cw_image_do(job->group, job->op, job->why, sizeof job->why);
}

static void done_image(struct cw_job *base)
{
    answer_file_job(CW_CONTAINER_OF(base, struct file_job, job), CW_COMMAND_IMAGE_DONE);
}

void cw_control_on_image(struct cw_control *control, const struct cw_mail *mail)
{
    struct file_job *job = file_job_new(control, mail, run_image, done_image);
    job->group = mail->image.group;
    job->op = mail->image.op;
    cw_jobs_submit(&control->jobs, &job->job);
}

static void run_salvage(struct cw_job *base)
{
    struct file_job *job = CW_CONTAINER_OF(base, struct file_job, job);
    job->status = cw_salvage_do(job->group, &job->salvage, job->control->engine->config.storage, job->why,
                                sizeof job->why);
}

static void tell_salvaged(struct cw_control *control, uint32_t group, const struct cw_salvage *s)
{
    bool has_file = s->path[0] != 0;
    if (has_file)
        cw_control_event(control, 1, group, "writes above %llu, cut off here, are kept in %s",
                         (unsigned long long)s->above, s->path);
    if (s->lacks_some)
        cw_control_event(control, 2, group,
                         "of the writes above %llu, up to %llu, the journal could not be read in full: %s",
                         (unsigned long long)s->above, (unsigned long long)s->last,
                         has_file ? "that file lacks some" : "no file has them");
    else if (s->first == 0 || s->first > s->above + 1)
        cw_control_event(control, 1, group,
                         "writes above %llu%s had been put in place and left the journal: no file has them",
                         (unsigned long long)s->above, has_file ? ", but for those in that file," : "");
}

static void done_salvage(struct cw_job *base)
{
    struct file_job *job = CW_CONTAINER_OF(base, struct file_job, job);
    if (job->status == CW_OK)
        tell_salvaged(job->control, job->group->id, &job->salvage);
    answer_file_job(job, CW_COMMAND_SALVAGE_DONE);
}

void cw_control_on_salvage(struct cw_control *control, const struct cw_mail *mail)
{
    struct file_job *job = file_job_new(control, mail, run_salvage, done_salvage);
    job->group = mail->salvage.group;
    job->salvage.above = mail->salvage.above;
    job->salvage.site = cw_engine_site_name(control->engine, control->engine->config.site_id);
    job->salvage.last = mail->salvage.last;
    cw_jobs_submit(&control->jobs, &job->job);
}
