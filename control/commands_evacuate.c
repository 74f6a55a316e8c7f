/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * evacuate: asks any controller what goes where, then the sites that take for the switchovers, so many at a
 * time. Each is an operation over there and goes on when this command is killed. What is still at the site
 * afterwards is asked for once more: what failed for a passing reason, or was moved by somebody else
 * meanwhile, is seen then. And what cannot go for a reason that may pass in a moment is waited for a little:
 * right after a move a controller knows of the one before.
 *
 * Each taker is asked by a thread of its own: one that answers nothing holds up what it was to take, and at
 * most one of the places for moves under way, while the others go on. A move is changed by its taker's thread
 * alone; what others look at (states, words, what was moved), and the terminal, under one lock.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "control/cli.h"

#define PARALLEL_DEFAULT 8u
#define PARALLEL_MAX     16u
#define ROUNDS           2
#define POLL_MS          50
#define SETTLE_MS        5000u
#define SETTLE_POLL_MS   300
#define LOST_TRIES       100    /* of an operation that nobody knows any more, or that cannot be asked for */
#define LOST_MS          20000u /* without an answer about it: more than one question is waited for */

enum move_state {
    MOVE_WAITS = 0,
    MOVE_RUNS,
    MOVE_TELLS /* is primary; the pause is not known yet */,
    MOVE_DONE,
    MOVE_FAILED
};

struct move {
    const char *group, *to; /* of the plan */
    enum move_state state;
    int exit, tries;
    bool is_moved;
    uint64_t heard_ms; /* when its taker last answered */
    json_t *operation; /* its number; NULL: not asked for, or not answered yet */
    json_t *pause;
    char words[512];
};

/* A site that takes, in one round. */
struct taker {
    struct evacuation *all;
    const char *site;
    pthread_t thread;
    bool has_thread;
    char silent[512]; /* it answered nothing, in these words: it is asked for no other move in this round */
};

struct evacuation {
    const struct cw_cli *cli;
    const char *site;
    uint32_t parallel;
    json_t *plan;
    pthread_mutex_t lock;
    struct move *moves; /* of this round */
    size_t count;
    json_t *moved;  /* of all rounds: [{"group","to","words","pause"?}] */
    json_t *said;   /* why a group did not go: {"group": "words"} */
    bool is_failed; /* something did not go for another reason than that it was unsafe */
    uint64_t began_ms;
};

static json_t *params_of(const struct evacuation *all)
{
    char reason[96];
    snprintf(reason, sizeof reason, "evacuate %.60s", all->site);
    return json_pack("{s:s,s:s}", "site", all->site, "reason", reason);
}

/* ---------------------------------------------------------------- one move */

/* Under the lock. */
static void end_move(struct evacuation *all, struct move *move, int exit, const char *words)
{
    move->state = exit == 0 ? MOVE_DONE : MOVE_FAILED;
    move->exit = exit;
    cw_progress_end();
    if (exit) {
        json_object_set_new(all->said, move->group, json_string(words));
        return;
    }
    json_object_del(all->said, move->group);
    if (!move->is_moved)
        return; /* somebody else was faster */
    json_t *told = json_pack("{s:s,s:s,s:s}", "group", move->group, "to", move->to, "words", words);
    if (move->pause)
        json_object_set(told, "pause", move->pause);
    json_array_append_new(all->moved, told);
    if (!all->cli->is_json)
        printf("%s\n", words);
    fflush(stdout);
}

/* One more under way, unless there are as many as may be. */
static bool take_place(struct evacuation *all, struct move *move)
{
    uint32_t running = 0;
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->count; i++)
        running += all->moves[i].state == MOVE_RUNS;
    if (running < all->parallel)
        move->state = MOVE_RUNS;
    pthread_mutex_unlock(&all->lock);
    return running < all->parallel;
}

static void start_move(struct taker *taker, struct move *move)
{
    struct evacuation *all = taker->all;
    struct cw_rpc_failure failure;
    json_t *params = params_of(all);
    json_object_set_new(params, "group", json_string(move->group));
    json_object_set_new(params, "site", json_string(move->to));
    json_object_set_new(params, "from", json_string(all->site));
    json_t *answer = cw_ask(all->cli, move->to, "switchover", params, &failure);
    if (!answer && failure.code == 0)
        snprintf(taker->silent, sizeof taker->silent, "%.500s", failure.words);
    pthread_mutex_lock(&all->lock);
    if (answer)
        move->operation = json_incref(json_object_get(answer, "operation"));
    else
        end_move(all, move, failure.exit, failure.words);
    pthread_mutex_unlock(&all->lock);
    move->heard_ms = cw_now_ms();
    json_decref(answer);
}

/* Under the lock: what the taker says of it. */
static void take_answer(struct evacuation *all, struct move *move, const json_t *answer)
{
    snprintf(move->words, sizeof move->words, "%s", cw_json_text(answer, "words", ""));
    json_decref(move->pause);
    move->pause = json_incref(json_object_get(answer, "pause"));
    move->is_moved = cw_json_bool(answer, "moved", false);
    if (move->is_moved)
        move->state = MOVE_TELLS;
    if (cw_json_bool(answer, "done", false))
        end_move(all, move, (int)cw_json_u64(answer, "exit", 1), move->words);
}

static void look_at_move(struct evacuation *all, struct move *move)
{
    struct cw_rpc_failure failure;
    json_t *answer = cw_ask(all->cli, move->to, "operation",
                            json_pack("{s:O,s:s}", "id", move->operation, "site", move->to), &failure);
    if (!answer && ++move->tries < LOST_TRIES && cw_now_ms() - move->heard_ms < LOST_MS)
        return;
    pthread_mutex_lock(&all->lock);
    if (answer) {
        move->tries = 0;
        move->heard_ms = cw_now_ms();
        take_answer(all, move, answer);
    } else {
        snprintf(move->words, sizeof move->words, "%.400s; it may or may not have been moved", failure.words);
        end_move(all, move, CW_EXIT_FAILED, move->words);
    }
    pthread_mutex_unlock(&all->lock);
    json_decref(answer);
}

/* ---------------------------------------------------------------- a taker */

static void fail_unasked(struct taker *taker, struct move *move)
{
    pthread_mutex_lock(&taker->all->lock);
    end_move(taker->all, move, CW_EXIT_FAILED, taker->silent);
    pthread_mutex_unlock(&taker->all->lock);
}

/* All that it has to take, once; false: all of that has ended. */
static bool step_taker(struct taker *taker)
{
    bool is_left = false;
    for (size_t i = 0; i < taker->all->count; i++) {
        struct move *move = &taker->all->moves[i];
        if (strcmp(move->to, taker->site) != 0)
            continue;
        if (move->state == MOVE_RUNS || move->state == MOVE_TELLS)
            look_at_move(taker->all, move);
        else if (move->state == MOVE_WAITS && taker->silent[0])
            fail_unasked(taker, move);
        else if (move->state == MOVE_WAITS && take_place(taker->all, move))
            start_move(taker, move);
        is_left = is_left || move->state < MOVE_DONE;
    }
    return is_left;
}

static void *run_taker(void *context)
{
    while (step_taker(context))
        cw_pause_ms(POLL_MS);
    cw_ask_end();
    return NULL;
}

/* As many as there are different sites in the moves; returns their number. */
static size_t start_takers(struct evacuation *all, struct taker *takers)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        size_t at = 0;
        while (at < count && strcmp(takers[at].site, all->moves[i].to) != 0)
            at++;
        if (at == count)
            takers[count++] = (struct taker){.all = all, .site = all->moves[i].to};
    }
    for (size_t i = 0; i < count; i++) {
        takers[i].has_thread = pthread_create(&takers[i].thread, NULL, run_taker, &takers[i]) == 0;
        if (!takers[i].has_thread)
            (void)run_taker(&takers[i]); /* then one after the other */
    }
    return count;
}

/* ---------------------------------------------------------------- a round */

static void show_progress(const struct evacuation *all)
{
    size_t running = 0, waiting = 0;
    const struct move *slowest = NULL;
    for (size_t i = 0; i < all->count; i++) {
        waiting += all->moves[i].state == MOVE_WAITS;
        running += all->moves[i].state == MOVE_RUNS;
        if (all->moves[i].state == MOVE_RUNS && !slowest)
            slowest = &all->moves[i];
    }
    cw_progress(all->cli, "%zu moved, %zu under way, %zu wait%s%s%s%s", json_array_size(all->moved), running,
                waiting, slowest ? "; " : "", slowest ? slowest->group : "", slowest ? ": " : "",
                slowest ? slowest->words : "");
}

/* false: all have ended, and no more is shown. */
static bool look_at_round(struct evacuation *all)
{
    size_t left = 0;
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->count; i++)
        left += all->moves[i].state < MOVE_DONE;
    if (left > 0)
        show_progress(all);
    pthread_mutex_unlock(&all->lock);
    return left > 0;
}

static void run_takers(struct evacuation *all, struct taker *takers)
{
    size_t count = start_takers(all, takers);
    while (look_at_round(all))
        cw_pause_ms(POLL_MS);
    for (size_t i = 0; i < count; i++) {
        if (takers[i].has_thread)
            pthread_join(takers[i].thread, NULL);
    }
}

static void end_round(struct evacuation *all)
{
    for (size_t i = 0; i < all->count; i++) {
        all->is_failed = all->is_failed || (all->moves[i].state == MOVE_FAILED && all->moves[i].exit != 3);
        json_decref(all->moves[i].operation);
        json_decref(all->moves[i].pause);
    }
    free(all->moves);
    all->moves = NULL;
    all->count = 0;
}

static bool run_round(struct evacuation *all)
{
    const json_t *moves = json_object_get(all->plan, "moves");
    size_t index, count = json_array_size(moves);
    json_t *entry;
    struct taker *takers = calloc(count + 1, sizeof takers[0]);
    all->moves = calloc(count + 1, sizeof all->moves[0]);
    bool ok = takers && all->moves;
    all->is_failed = false; /* what failed before is asked for again */
    json_array_foreach(moves, index, entry)
    {
        if (ok)
            all->moves[all->count++] =
                (struct move){.group = cw_json_text(entry, "group", ""), .to = cw_json_text(entry, "to", "")};
    }
    if (ok)
        run_takers(all, takers);
    end_round(all);
    free(takers);
    return ok;
}

/* ---------------------------------------------------------------- the whole */

/* What is still there, and why: of a move that failed its own words. New reference. */
static json_t *list_left(const struct evacuation *all)
{
    json_t *left = json_array();
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(all->plan, "stuck"), index, entry)
    {
        json_array_append(left, entry);
    }
    json_array_foreach(json_object_get(all->plan, "moves"), index, entry)
    {
        const char *group = cw_json_text(entry, "group", ""), *to = cw_json_text(entry, "to", "");
        char next[256];
        snprintf(next, sizeof next, "causeway switchover %s --site %s", group, to);
        json_array_append_new(left,
                              json_pack("{s:s,s:s,s:s}", "group", group, "why",
                                        cw_json_text(all->said, group, "it was not tried"), "next", next));
    }
    return left;
}

static void print_left(const struct evacuation *all, const json_t *left)
{
    size_t index;
    json_t *entry;
    json_array_foreach(left, index, entry)
    {
        if (!all->cli->is_json)
            fprintf(stderr, "%s is still at %s: %s. Next: %s\n", cw_json_text(entry, "group", ""), all->site,
                    cw_json_text(entry, "why", ""), cw_json_text(entry, "next", ""));
    }
}

static double longest_ms(const json_t *moved)
{
    double longest = 0;
    size_t index;
    json_t *entry;
    json_array_foreach(moved, index, entry)
    {
        longest = CW_MAX(longest, cw_json_number(json_object_get(entry, "pause"), "pause_ms", 0));
    }
    return longest;
}

static int tell(const struct evacuation *all)
{
    json_t *left = list_left(all);
    size_t moved = json_array_size(all->moved), stay = json_array_size(left);
    double seconds = (double)(cw_now_ms() - all->began_ms) / 1e3;
    json_t *more = json_pack("{s:s,s:f,s:O,s:O}", "site", all->site, "seconds", seconds, "moved", all->moved,
                             "left", left);
    cw_progress_end();
    print_left(all, left);
    json_decref(left);
    if (stay == 0 && moved == 0)
        return cw_done_with(all->cli, more, "%s is primary of no group: nothing is to be moved", all->site);
    if (stay == 0)
        return cw_done_with(all->cli, more,
                            "%s is evacuated: %zu groups moved in %.1f s, the longest pause %.0f ms",
                            all->site, moved, seconds, longest_ms(all->moved));
    return cw_failed_with(all->cli, moved == 0 && !all->is_failed ? CW_EXIT_REFUSED : CW_EXIT_FAILED, more,
                          "%zu groups moved from %s in %.1f s, %zu are still there", moved, all->site,
                          seconds, stay);
}

static int tell_plan(const struct evacuation *all)
{
    const json_t *moves = json_object_get(all->plan, "moves"), *stuck = json_object_get(all->plan, "stuck");
    size_t index;
    json_t *entry;
    json_array_foreach(moves, index, entry)
    {
        if (!all->cli->is_json)
            printf("%s: from %s to %s\n", cw_json_text(entry, "group", ""), all->site,
                   cw_json_text(entry, "to", ""));
    }
    print_left(all, stuck);
    json_t *more = json_copy(all->plan);
    size_t going = json_array_size(moves), stay = json_array_size(stuck);
    if (stay == 0)
        return cw_done_with(all->cli, more,
                            "%zu groups would be moved from %s, %u at a time; nothing was done", going,
                            all->site, all->parallel);
    return cw_failed_with(all->cli, CW_EXIT_REFUSED, more,
                          "%zu groups would be moved from %s, %zu cannot; nothing was done", going, all->site,
                          stay);
}

/* Into all->plan; false: said. */
static bool ask_plan(struct evacuation *all, bool is_change, int *code)
{
    struct cw_rpc_failure failure;
    json_t *plan =
        cw_ask(all->cli, all->cli->site, is_change ? "evacuate" : "evacuate.plan", params_of(all), &failure);
    if (!plan) {
        *code = cw_say_failure(all->cli, &failure);
        return false;
    }
    json_decref(all->plan);
    all->plan = plan;
    return true;
}

/* Something has nowhere to go, and may have in a moment. */
static bool is_settling(const struct evacuation *all)
{
    size_t index;
    json_t *entry;
    if (cw_now_ms() - all->began_ms >= SETTLE_MS)
        return false;
    json_array_foreach(json_object_get(all->plan, "stuck"), index, entry)
    {
        if (cw_json_bool(entry, "passing", false)) {
            cw_progress(all->cli, "%s waits: %s", cw_json_text(entry, "group", ""),
                        cw_json_text(entry, "why", ""));
            return true;
        }
    }
    return false;
}

static int evacuate(struct evacuation *all)
{
    bool is_dry = cw_cli_has(all->cli, "dry-run");
    int code = CW_EXIT_FAILED;
    if (!ask_plan(all, !is_dry, &code))
        return code;
    if (is_dry)
        return tell_plan(all);
    for (int round = 0; round < ROUNDS;) {
        bool is_going = json_array_size(json_object_get(all->plan, "moves")) > 0;
        if (!is_going && !is_settling(all))
            break;
        if (is_going && !run_round(all))
            return cw_failed(all->cli, CW_EXIT_FAILED, "no memory");
        if (!is_going)
            cw_pause_ms(SETTLE_POLL_MS);
        round += is_going;
        if (!ask_plan(all, false, &code)) /* what is there now */
            return code;
    }
    return tell(all);
}

int cw_run_evacuate(struct cw_cli *cli)
{
    const char *parallel = cw_cli_value(cli, "parallel");
    struct evacuation all = {.cli = cli,
                             .site = cli->operands[0],
                             .parallel = PARALLEL_DEFAULT,
                             .began_ms = cw_now_ms(),
                             .lock = PTHREAD_MUTEX_INITIALIZER};
    if (parallel) {
        char *end = NULL;
        unsigned long number = strtoul(parallel, &end, 10);
        if (*end || end == parallel || number < 1 || number > PARALLEL_MAX)
            return cw_failed(cli, CW_EXIT_USAGE, "--parallel wants a number from 1 to %u", PARALLEL_MAX);
        all.parallel = (uint32_t)number;
    }
    all.moved = json_array();
    all.said = json_object();
    int code = evacuate(&all);
    json_decref(all.plan);
    json_decref(all.moved);
    json_decref(all.said);
    return code;
}
