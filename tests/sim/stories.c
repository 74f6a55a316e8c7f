/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stories: a file of prose, commands and what happened. Lines that begin with '$' are commands; the lines up
 * to the next command or prose are what the group did; everything else is kept. The runner plays the commands
 * in a plain world (1 ms between sites, 50 us a disk operation, 1 ms to the store) and compares; with
 * --update it writes the file anew, and the difference is what a reviewer reads.
 *
 *     $ world sync 2          mode and number of sites; first
 *     $ quiet 3s | run 5ms    time passes, told or not
 *     $ write A 4 2 [fua]     blocks 4..5 of volume 0 through site A; flush A
 *     $ lose record A B       the next such message needs another 20 ms
 *     $ cut A B | heal | kill A | power A | start A | pause A 3s
 *     $ promote B | switchover A B | resync A B
 *     $ rot A                 both copies of its newest superblock, while it is down
 *     $ expect primary B | expect set A B | expect level      how it must stand now; else the story fails
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct story {
    struct world w;
    bool is_made;
    char words[5][32];
    int count;
};

static struct site *site_of(struct story *s, int word)
{
    int id = word < s->count ? s->words[word][0] - 'A' : -1;

    if (id < 0 || id >= (int)s->w.site_count) {
        fprintf(stderr, "%s: which site?\n", s->words[0]);
        exit(2);
    }
    return &s->w.sites[id];
}

static uint64_t duration(const char *text)
{
    char *unit;
    uint64_t n = strtoull(text, &unit, 10);

    return strcmp(unit, "s") == 0 ? n * CW_SECOND : strcmp(unit, "ms") == 0 ? n * CW_MS : n * CW_US;
}

static void make(struct story *s, FILE *out)
{
    struct sim_options options = {.seed = 1, .is_story = true, .out = out};

    for (int m = 0; m < CW_MODE_COUNT; m++)
        if (strcmp(s->words[1], cw_mode_name((enum cw_mode)m)) == 0)
            options.mode = m;
    options.sites = (uint32_t)atoi(s->words[2]);
    world_init(&s->w, &options);
    s->is_made = true;
}

static void lose(struct story *s)
{
    for (uint32_t t = 1; t < CW_MSG_TYPE_COUNT; t++) {
        const char *name = cw_message_type_name((enum cw_message_type)t);
        if (strcasecmp(name, s->words[1]) == 0)
            s->w.lose_type = t;
    }
    s->w.lose_from = site_of(s, 2)->id;
    s->w.lose_to = site_of(s, 3)->id;
}

static void pass(struct story *s, bool told)
{
    s->w.narrates = told;
    s->w.story_began_ns = s->w.now_ns;
    world_run_until(&s->w, s->w.now_ns + duration(s->words[1]));
    s->w.narrates = false;
}

/* The end of a story is more than what was told: it is asked for. */
static void expect(struct story *s)
{
    struct world *w = &s->w;
    char why[256] = "";

    if (strcmp(s->words[1], "primary") == 0) {
        for (uint32_t i = 0; i < w->site_count; i++) {
            bool is_primary = w->sites[i].state == SITE_RUNNING && w->sites[i].status.role == CW_ROLE_PRIMARY;
            if (is_primary != (i == site_of(s, 2)->id))
                world_fail(w, "expected: %c is primary, and nobody else", s->words[2][0]);
        }
    } else if (strcmp(s->words[1], "set") == 0) {
        uint8_t members = 0;
        for (int i = 2; i < s->count; i++)
            members |= (uint8_t)(1u << site_of(s, i)->id);
        if (w->store.members != members)
            world_fail(w, "expected another set than %x", w->store.members);
    } else if (!world_has_converged(w, why, sizeof why)) {
        world_fail(w, "expected: everybody level; %s", why);
    } else {
        world_final_check(w);
    }
}

static void order(struct story *s)
{
    struct world *w = &s->w;
    const char *verb = s->words[0];

    if (strcmp(verb, "write") == 0)
        load_submit(site_of(s, 1), OP_WRITE, 0, strtoull(s->words[2], NULL, 10),
                    strtoull(s->words[3], NULL, 10), s->count > 4);
    else if (strcmp(verb, "flush") == 0)
        load_submit(site_of(s, 1), OP_FLUSH, 0, 0, 0, false);
    else if (strcmp(verb, "lose") == 0)
        lose(s);
    else if (strcmp(verb, "cut") == 0)
        w->cut_until_ns[site_of(s, 1)->id][site_of(s, 2)->id] =
            w->cut_until_ns[site_of(s, 2)->id][site_of(s, 1)->id] = CW_NEVER;
    else if (strcmp(verb, "heal") == 0)
        memset(w->cut_until_ns, 0, sizeof w->cut_until_ns);
    else if (strcmp(verb, "kill") == 0 || strcmp(verb, "power") == 0)
        site_crash(site_of(s, 1), verb[0] == 'p');
    else if (strcmp(verb, "start") == 0)
        site_start(site_of(s, 1));
    else if (strcmp(verb, "rot") == 0)
        media_rot_newest(site_of(s, 1));
    else if (strcmp(verb, "expect") == 0)
        expect(s);
    else if (strcmp(verb, "pause") == 0)
        site_of(s, 1)->paused_until_ns = w->now_ns + duration(s->words[2]);
    else if (strcmp(verb, "promote") == 0)
        site_of(s, 1)->want_open = 1;
    else if (strcmp(verb, "resync") == 0)
        site_of(s, 1)->want_resync = (uint8_t)(site_of(s, 2)->id + 1u);
    else if (strcmp(verb, "switchover") == 0) {
        site_of(s, 1)->drain_target = site_of(s, 2)->id + 1u;
        site_of(s, 1)->drain_deadline_ns = CW_NEVER;
        site_of(s, 1)->want_drain = true;
    } else {
        fprintf(stderr, "no such command: %s\n", verb);
        exit(2);
    }
    for (uint32_t i = 0; i < w->site_count; i++)
        site_turn_soon(&w->sites[i]);
}

static void command(struct story *s, const char *line, FILE *out)
{
    s->count = sscanf(line, "$ %31s %31s %31s %31s %31s", s->words[0], s->words[1], s->words[2], s->words[3],
                      s->words[4]);
    if (strcmp(s->words[0], "world") == 0)
        make(s, out);
    else if (strcmp(s->words[0], "run") == 0 || strcmp(s->words[0], "quiet") == 0)
        pass(s, s->words[0][0] == 'r');
    else
        order(s);
}

/* Plays the file; what should stand in it goes to out. */
static bool play(FILE *in, FILE *out)
{
    static struct story s;
    char line[256];

    memset(&s, 0, sizeof s);
    while (fgets(line, sizeof line, in)) {
        if (line[0] == '[')
            continue; /* what happened last time */
        fputs(line, out);
        if (line[0] == '$')
            command(&s, line, out);
    }
    bool failed = s.w.failed;
    if (failed)
        fprintf(out, "BROKEN RULE: %s\n", s.w.failure);
    if (s.is_made)
        world_fini(&s.w);
    return !failed;
}

static bool one(const char *path, bool update)
{
    FILE *in = fopen(path, "r");
    char *told = NULL, *stands = NULL;
    size_t told_size = 0, stands_size = 0;
    FILE *out = open_memstream(&told, &told_size);

    if (!in || !out) {
        perror(path);
        exit(2);
    }
    bool ok = play(in, out);
    fclose(out);
    rewind(in);
    stands = calloc(1, told_size + 65536);
    stands_size = fread(stands, 1, told_size + 65535, in);
    fclose(in);
    bool same = stands_size == told_size && memcmp(stands, told, told_size) == 0;
    if (update && !same) {
        FILE *file = fopen(path, "w");
        if (!file || fwrite(told, 1, told_size, file) != told_size || fclose(file) != 0)
            perror(path);
    }
    if (!same)
        printf("%s tells another story now%s\n%s", path, update ? " (written)" : ":", update ? "" : told);
    free(stands);
    free(told);
    return ok && (same || update);
}

int main(int argc, char **argv)
{
    bool update = argc > 1 && strcmp(argv[1], "--update") == 0, ok = true;

    for (int i = 1 + update; i < argc; i++)
        ok = one(argv[i], update) && ok;
    return ok ? 0 : 1;
}
