/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The oracles: the promises of the design, asked at the moments where they could break.
 *
 * Which acknowledged op must survive an opening is kept in two masks of the op: `hold`, the sites that had it
 * in their journal (page cache will do) when it was acknowledged, and `durable`, those where nothing short of
 * lying media can take it. Power loss of a site takes it out of hold; joining the set puts it in.
 */
#include <stdlib.h>
#include <string.h>

#include "replication/history.h"
#include "sim.h"

typedef unsigned long long ull;

static bool same_boot(const struct cw_identity *a, const struct cw_identity *b)
{
    return memcmp(a->boot_id, b->boot_id, sizeof a->boot_id) == 0 &&
           memcmp(a->journal_id, b->journal_id, sizeof a->journal_id) == 0;
}

/* ------------------------------------------------------------------ one primary */

/*
 * The store's row of this reign. Without the store a primary may go on by grants though somebody has claimed
 * a later epoch and died of it: as long as nobody has been open since. Then it is the row of before that
 * claim.
 */
static const struct store *row_of(struct site *site, uint64_t epoch)
{
    struct world *w = site->world;
    struct cw_group_status status;

    if (!w->peer_grants)
        return outside_truth(w);
    cw_group_status(site->group, site_clock(site, w->now_ns), &status);
    if (status.cover != CW_COVER_GRANTS)
        return outside_truth(w);
    w->grant_acks++;
    return outside_truth(w)->epoch > epoch ? &w->opened : outside_truth(w);
}

static const struct store *check_authority(struct site *site, uint64_t epoch, uint64_t reign,
                                           const char *what)
{
    struct world *w = site->world;
    const struct store *s = row_of(site, epoch);

    w->oracle.acks_checked++;
    if (s->epoch != epoch || s->reign != reign || s->holder != site->id)
        world_fail(w, "one primary: %s at site %u in epoch %llu, but %s epoch %llu of site %u", what,
                   site->id, (ull)epoch,
                   s != &w->opened ? "the store has" : "it goes on by grants, and open last was",
                   (ull)s->epoch, s->holder);
    return s;
}

void check_answered(struct site *site, uint64_t epoch, uint64_t reign)
{
    (void)check_authority(site, epoch, reign, "a read was answered");
}

/* Before the store changes: this is what the reign that is open has of it. */
void check_store_moves(struct world *w)
{
    const struct store *s = outside_truth(w);

    if (s->epoch == w->opened.epoch && s->reign == w->opened.reign)
        w->opened = *s;
}

/* Whoever was open before is over. */
static void opened(struct site *site)
{
    struct world *w = site->world;
    const struct cw_group_status *st = &site->status;

    if (st->epoch <= w->opened.epoch)
        world_fail(w, "one primary: site %u opens in epoch %llu, and epoch %llu was open", site->id,
                   (ull)st->epoch, (ull)w->opened.epoch);
    w->opened = *outside_view(site);
    if (w->opened.epoch != st->epoch || w->opened.reign != st->reign) /* it was late: it has a set of one */
        w->opened = (struct store){
            .epoch = st->epoch, .reign = st->reign, .holder = site->id, .members = (uint8_t)(1u << site->id)};
}

/* ------------------------------------------------------------------ acknowledgements */

/* Members by the store, that are still who the store knows, without the primary. */
static uint8_t true_members(struct site *site, const struct store *s)
{
    struct world *w = site->world;
    uint8_t bits = 0;

    for (uint8_t i = 0; i < w->site_count; i++) {
        struct site *m = &w->sites[i];
        const struct cw_identity *known = &s->identities[i];
        if (i == site->id || !(s->members >> i & 1) || m->state != SITE_RUNNING)
            continue;
        if (!same_boot(known, &m->status.identity) || m->is_journal_tainted)
            continue;
        if (w->mode == CW_MODE_SEMI_SYNC && known->process_start != m->status.identity.process_start)
            continue;
        bits |= (uint8_t)(1u << i);
    }
    return bits;
}

static void check_member(struct site *site, struct client_op *op, struct site *member, bool durably)
{
    struct world *w = site->world;

    if (w->mode == CW_MODE_SYNC && !truth_holds(member, op->epoch, op->reign, op->last_sequence, durably))
        world_fail(
            w, "durable: op %llu (sequence %llu) acknowledged, but member %u does not have all up to it %s",
            (ull)op->id, (ull)op->last_sequence, member->id, durably ? "durably" : "in its journal");
    if (w->mode == CW_MODE_SEMI_SYNC && member->status.sequences.received < op->last_sequence)
        world_fail(w, "durable: op %llu (sequence %llu) acknowledged, but member %u has received only %llu",
                   (ull)op->id, (ull)op->last_sequence, member->id, (ull)member->status.sequences.received);
}

/* A flush makes durable whatever was acknowledged before it. */
static void spread_durable(struct world *w, const struct client_op *flush)
{
    for (struct client_op *op = w->oracle.ops; op; op = op->next)
        if (!op->is_lost && op->kind != OP_FLUSH && op->last_sequence <= flush->last_sequence)
            op->durable |= flush->durable;
}

/* network-sync: it has left towards whom the group says it waits for. Whether it arrived is nobody's promise.
 */
static void check_left(struct site *site, const struct client_op *op)
{
    struct cw_group_status status;

    cw_group_status(site->group, site_clock(site, site->world->now_ns), &status);
    for (uint8_t i = 0; i < site->world->site_count; i++)
        if (status.peers[i].is_awaited && site->left[i] < op->last_sequence &&
            status.peers[i].sequences.received < op->last_sequence)
            world_fail(
                site->world,
                "network-sync: op %llu (sequence %llu) acknowledged, and to site %u only %llu has left",
                (ull)op->id, (ull)op->last_sequence, i, (ull)site->left[i]);
}

void check_ack(struct site *site, struct client_op *op)
{
    struct world *w = site->world;
    bool durably = op->kind == OP_FLUSH || op->fua;
    const struct store *s = check_authority(site, op->epoch, op->reign, "an op was acknowledged");
    uint8_t members = cw_mode_has_set(w->mode) ? true_members(site, s) : 0;

    if (!site->is_journal_tainted && !truth_holds(site, op->epoch, op->reign, op->last_sequence, durably))
        world_fail(
            w,
            "durable: op %llu (sequence %llu) acknowledged, but the primary %u does not have all up to it %s",
            (ull)op->id, (ull)op->last_sequence, site->id, durably ? "durably" : "in its journal");
    if (w->mode == CW_MODE_NETWORK_SYNC)
        check_left(site, op);
    for (uint8_t i = 0; i < w->site_count; i++)
        if (members >> i & 1)
            check_member(site, op, &w->sites[i], durably);
    op->hold = (uint8_t)(1u << site->id | members);
    op->is_covered = members != 0;
    if (durably)
        op->durable = (uint8_t)(1u << site->id | (w->mode == CW_MODE_SYNC ? members : 0));
    if (durably)
        spread_durable(w, op);
    if (cw_mode_has_set(w->mode) && w->min_in_sync && !(s->members & ~(1u << site->id)))
        world_fail(w, "min_in_sync: op %llu acknowledged with nobody in the set but the primary",
                   (ull)op->id);
}

/* Whoever joins holds everything up to the commit sequence, so all that was acknowledged: in that reign, and in
 * those before it. Of a later one, by tokens, a set that the store still changes says nothing. */
void check_joined(struct world *w, uint8_t joined, uint64_t epoch)
{
    if (joined)
        for (struct client_op *op = w->oracle.ops; op; op = op->next)
            if (!op->is_lost && op->epoch <= epoch) {
                op->hold |= joined;
                op->is_covered = true;
            }
}

void check_alone(struct world *w, uint64_t epoch)
{
    for (struct client_op *op = w->oracle.ops; op; op = op->next)
        if (op->epoch <= epoch)
            op->is_covered = false;
}

void check_power_loss(struct site *site)
{
    for (struct client_op *op = site->world->oracle.ops; op; op = op->next)
        op->hold &= (uint8_t) ~(1u << site->id);
}

/* A log begins anew under another name: what of it is in the old files is what the prefix says, no
 * more. */
static void check_dropped(struct site *site)
{
    for (struct client_op *op = site->world->oracle.ops; op; op = op->next) {
        op->hold &= (uint8_t) ~(1u << site->id);
        op->durable &= (uint8_t) ~(1u << site->id);
    }
}

/* ------------------------------------------------------------------ opening */

static bool must_survive(struct site *site, const struct client_op *op)
{
    struct world *w = site->world;
    uint8_t self = (uint8_t)(1u << site->id), has = op->hold | op->durable;

    for (uint8_t i = 0; i < w->site_count; i++)
        if (w->sites[i].is_journal_tainted)
            has &= (uint8_t) ~(1u << i);
    if (outside_view(site)->is_loss_accepted) /* maybe before a drain that it did not wait for */
        return has & self;
    if (outside_view(site)->was_drained)
        return has != 0;
    if (!cw_mode_has_set(w->mode))
        return has & self;
    bool is_tainted = false;
    for (uint8_t i = 0; i < w->site_count; i++)
        is_tainted |= w->sites[i].is_journal_tainted;
    if (op->is_covered && !is_tainted)
        return true; /* whoever lost it had to ask for the loss to be accepted */
    return w->mode == CW_MODE_SEMI_SYNC ? has & self : has != 0;
}

void check_opened(struct site *site)
{
    struct world *w = site->world;
    const struct cw_group_status *st = &site->status;
    struct store *s = outside_view(site);

    w->oracle.opens++;
    opened(site);
    oracle_history(w, &st->history);
    CW_ASSERT(st->history.count > 0);
    const struct cw_history_entry *last = &st->history.entries[st->history.count - 1];
    if (last->epoch != st->epoch || last->reign != st->reign)
        world_fail(w, "site %u is primary of epoch %llu, its history ends in %llu", site->id, (ull)st->epoch,
                   (ull)last->epoch);
    if (s->epoch == st->epoch && s->first_sequence != last->first_sequence)
        world_fail(w, "site %u: first sequence %llu, the store has %llu", site->id, (ull)last->first_sequence,
                   (ull)s->first_sequence);
    w->oracle.lossy_opens += s->is_loss_accepted;
    w->lost_first_ns = w->lost_last_ns = 0;
    for (struct client_op *op = w->oracle.ops; op; op = op->next) {
        struct branch *b;
        oracle_line(w, st->epoch, st->reign, op->last_sequence, &b);
        if (op->is_lost || op->kind == OP_FLUSH || (b && b->epoch == op->epoch && b->reign == op->reign))
            continue;
        if (must_survive(site, op))
            world_fail(w,
                       "durable: op %llu (epoch %llu, sequence %llu) was acknowledged (hold %x, durable %x) "
                       "and is not "
                       "in epoch %llu opened by site %u at %llu%s",
                       (ull)op->id, (ull)op->epoch, (ull)op->last_sequence, op->hold, op->durable,
                       (ull)st->epoch, site->id, (ull)last->first_sequence,
                       s->is_loss_accepted ? " (accepting loss)" : "");
        op->is_lost = true;
        w->oracle.lost_ops++;
        automatic_lost(w, op);
    }
    s->was_drained = s->is_loss_accepted = false;
    check_alone(w, st->epoch); /* an opening begins with a set of one */
    site->want_check = true;
}

/* Could this site open with what it holds and nothing lost? */
static bool is_sure_of_all(const struct site *site)
{
    const struct world *w = site->world;
    const struct cw_group_status *st = &site->status;
    const struct cw_identity *known = &w->store.identities[site->id];

    if (w->store
            .is_loss_accepted) /* claimed so, and never opened: the set is the taker's own word, not the data's */
        return false;
    if (site->state != SITE_RUNNING || !(w->store.members >> site->id & 1) ||
        st->image_state != CW_IMAGE_WHOLE || st->is_damaged || !same_boot(known, &st->identity))
        return false;
    return w->mode != CW_MODE_SEMI_SYNC || w->store.holder == site->id ||
           known->process_start == st->identity.process_start;
}

void check_loss_is_needed(struct site *site)
{
    struct world *w = site->world;

    for (uint8_t i = 0; i < w->site_count; i++)
        if (is_sure_of_all(&w->sites[i]))
            world_fail(w,
                       "liveness: site %u would open accepting a loss, though site %u surely has everything",
                       site->id, i);
}

/* Its own data or a member's is all there, so nobody else is needed to make it primary again. */
void check_holder_is_back(struct world *w)
{
    const struct store *s = &w->store;
    const struct site *holder = s->holder < w->site_count ? &w->sites[s->holder] : NULL;
    bool is_possible = false;

    if (!holder || s->row.fenced_epoch == s->epoch || holder->status.image_state != CW_IMAGE_WHOLE ||
        holder->status.is_damaged || holder->status.role != CW_ROLE_REPLICA ||
        holder->status.sequences.durable == 0) /* a blank one may find its first records nowhere */
        return;
    for (uint32_t i = 0; i < w->site_count; i++)
        is_possible |= is_sure_of_all(&w->sites[i]);
    if (is_possible)
        world_fail(w, "liveness: site %u holds epoch %llu, everything is there, and it does not open: %s",
                   holder->id, (ull)s->epoch, holder->status.refusal);
}

/* ------------------------------------------------------------------ states */

static bool was_between(struct world *w, const struct cw_group_status *st, uint64_t low, uint64_t high,
                        uint16_t volume, uint64_t block, uint64_t op)
{
    for (uint64_t s = high; s > low; s--) { /* mostly one of the last */
        struct branch *b;
        struct sim_record *r = oracle_line(w, st->epoch, st->reign, s, &b);
        if (r && r->kind != CW_RECORD_MARKER && r->volume == volume && r->op == op &&
            r->offset / SIM_BLOCK <= block && block < (r->offset + r->length) / SIM_BLOCK)
            return true;
    }
    return false;
}

static void line_of(const struct cw_group_status *st, struct cw_group_status *line)
{
    *line = *st;
    if (st->history.count) {
        line->epoch = st->history.entries[st->history.count - 1].epoch;
        line->reign = st->history.entries[st->history.count - 1].reign;
    }
}

/* One volume's blocks against: the state after `low`, or any later writing up to `high`. */
static void compare(struct site *site, const struct cw_group_status *line, const struct model *model,
                    uint64_t low, uint64_t high, uint16_t volume, uint64_t first_block, uint64_t blocks,
                    const uint8_t *bytes, const char *what)
{
    struct world *w = site->world;

    for (uint64_t i = 0; i < blocks && !w->failed; i++) {
        uint64_t block = first_block + i;
        uint64_t op = content_op(bytes + i * SIM_BLOCK, volume, block);
        if (op == model->block[volume][block] || was_between(w, line, low, high, volume, block, op))
            continue;
        world_fail(
            w,
            "%s: %s at site %u: volume %u block %llu has op %lld; after %llu of epoch %llu it is op %llu and "
            "nothing up to %llu wrote that",
            op == UINT64_MAX ? "integrity" : "prefix", what, site->id, volume, (ull)block, (long long)op,
            (ull)low, (ull)line->epoch, (ull)model->block[volume][block], (ull)high);
    }
}

void check_read(struct site *site, struct client_op *op)
{
    struct world *w = site->world;
    struct cw_group_status line = {.epoch = op->epoch, .reign = op->reign};
    struct model model;

    w->oracle.reads_checked++;
    if (!oracle_state(w, op->epoch, op->reign, op->head_at_begin, &model)) {
        world_fail(w, "site %u answers a read at head %llu, of which a record is unknown", site->id,
                   (ull)op->head_at_begin);
        return;
    }
    compare(site, &line, &model, op->head_at_begin, op->head_at_end, op->volume, op->offset / SIM_BLOCK,
            op->length / SIM_BLOCK, op->buffer, "a read");
}

/* The whole state that clients of this primary can see, read through its overlay. */
void check_primary_state(struct site *site)
{
    struct world *w = site->world;
    const struct cw_group_status *st = &site->status;
    struct model model;

    w->oracle.states_checked++;
    if (!oracle_state(w, st->epoch, st->reign, st->head, &model)) {
        world_fail(w, "site %u: head %llu of epoch %llu has an unknown record below it", site->id,
                   (ull)st->head, (ull)st->epoch);
        return;
    }
    for (uint16_t v = 0; v < w->volume_count && !w->failed; v++) {
        if (!volume_is_used(site, v))
            continue;
        struct cw_group_read read = {.volume = v, .length = w->volume_blocks[v] * SIM_BLOCK};
        uint8_t *bytes = malloc(read.length), *slices[8];
        uint32_t count = 0;
        CW_ASSERT(bytes != NULL);
        for (uint64_t at = 0; at < read.length; at += CW_RECORD_PAYLOAD_MAX)
            slices[count++] = bytes + at;
        if (cw_group_read_begin(site->group, &read) == CW_OK) {
            memcpy(bytes, site->volumes[v].live, read.length);
            cw_group_read_end(site->group, &read, slices, count);
            compare(site, st, &model, st->head, st->head, v, 0, w->volume_blocks[v], bytes,
                    "the primary's view");
        }
        free(bytes);
    }
}

/* Records of a volume that has not come yet wait for it. */
static void check_lacks(struct site *site, const struct model *model, uint16_t volume, uint64_t applied)
{
    for (uint64_t block = 0; block < site->world->volume_blocks[volume]; block++)
        if (model->block[volume][block]) {
            world_fail(site->world,
                       "prefix: site %u applied up to %llu, beyond writes to volume %u that it has not",
                       site->id, (ull)applied, volume);
            return;
        }
}

/* What stands in the files: everything applied, and nothing beyond the commit sequence. */
void check_files(struct site *site)
{
    struct world *w = site->world;
    const struct cw_group_status *st = &site->status;
    struct cw_group_status line;
    struct model model;
    uint64_t low = st->sequences.applied, high = CW_MAX(st->sequences.applied, st->sequences.commit);

    if (st->image_state != CW_IMAGE_WHOLE || st->role == CW_ROLE_DOWN)
        return;
    line_of(st, &line);
    w->oracle.states_checked++;
    if (!oracle_state(w, line.epoch, line.reign, low, &model)) {
        world_fail(w, "site %u applied up to %llu, of which a record is unknown", site->id, (ull)low);
        return;
    }
    for (uint16_t v = 0; v < w->volume_count && !w->failed; v++) {
        if (volume_is_used(site, v)) /* of one that is deleted elsewhere a copy may have left nothing */
            compare(site, &line, &model, low, high, v, 0, w->volume_blocks[v], site->volumes[v].live,
                    "the files");
        else if (w->fates[v] == VOLUME_IS)
            check_lacks(site, &model, v, low);
    }
}

/* Zeroes name no op: the record that is put in place is known by kind and extent, and lies between what is in
 * place and what is committed. */
static void check_apply_zeroes(struct site *site, const struct cw_action *a,
                               const struct cw_group_status *line, uint64_t applied, uint64_t commit)
{
    for (uint64_t s = applied + 1; s <= commit; s++) {
        struct branch *b;
        const struct sim_record *r = oracle_line(site->world, line->epoch, line->reign, s, &b);
        if (r && r->kind == a->kind && r->volume == a->volume && r->offset == a->offset &&
            r->length == a->length)
            return;
    }
    world_fail(site->world,
               "commit: site %u applies zeroes to volume %u at %llu, of no committed record above %llu "
               "(commit %llu)",
               site->id, a->volume, (ull)a->offset, (ull)applied, (ull)commit);
}

/* Blocks are never put in place beyond what was committed anywhere. */
void check_apply(struct site *site, const struct cw_action *a)
{
    struct world *w = site->world;
    struct cw_group_status line;
    uint64_t commit = 0;

    if (a->to_copy)
        return;
    struct cw_group_status now;
    cw_group_status(site->group, site_clock(site, w->now_ns), &now);
    for (uint32_t i = 0; i < w->site_count; i++)
        if (w->sites[i].state == SITE_RUNNING && w->sites[i].status.reign == now.reign)
            commit = CW_MAX(commit, w->sites[i].status.sequences.commit);
    commit = CW_MAX(commit, now.sequences.commit);
    uint64_t applied = now.sequences.applied;
    line_of(&now, &line);
    if (a->kind != CW_RECORD_WRITE)
        check_apply_zeroes(site, a, &line, applied, commit);
    for (uint64_t at = 0; a->kind == CW_RECORD_WRITE && at < a->length && !w->failed; at += SIM_BLOCK) {
        uint64_t block = (a->offset + at) / SIM_BLOCK;
        uint64_t op = content_op(a->memory + at, a->volume, block);
        uint64_t low = applied > 4096 ? applied - 4096 : 0; /* its own line may be far behind another's */
        if (op == UINT64_MAX)
            world_fail(w, "integrity: site %u applies what nobody wrote to volume %u block %llu", site->id,
                       a->volume, (ull)block);
        else if (op && !was_between(w, &line, low, commit, a->volume, block, op))
            world_fail(w,
                       "commit: site %u applies op %llu to volume %u block %llu, not committed (commit %llu)",
                       site->id, (ull)op, a->volume, (ull)block, (ull)commit);
    }
}

/* A batch says up to where it may be applied: a replica has that from who reigns. */
void check_batch_commit(struct site *site, uint64_t commit)
{
    struct cw_group_status now, line;

    cw_group_status(site->group, site_clock(site, site->world->now_ns), &now);
    if (now.role != CW_ROLE_REPLICA || now.image_state != CW_IMAGE_WHOLE)
        return;
    line_of(&now, &line);
    if (!oracle_is_committed(site->world, line.epoch, line.reign, commit))
        world_fail(site->world,
                   "commit: site %u takes %llu for committed in epoch %llu, where nobody said so", site->id,
                   (ull)commit, (ull)line.epoch);
}

/* A salvage reads the ring, and ends at what is half written. */
void check_salvage(struct site *site)
{
    for (const struct io *io = site->ios; io; io = io->next)
        if (io->fact && io->fact->type == FACT_JOURNAL_WRITTEN)
            world_fail(site->world, "salvage: site %u reads its journal while a batch is on its way",
                       site->id);
}

void check_kept(struct site *site, uint64_t above, uint64_t last)
{
    const struct cw_history *history = &site->status.history;
    const struct cw_history_entry *line = history->count ? &history->entries[history->count - 1] : NULL;

    site->kept.life = site->life;
    site->kept.above = above;
    site->kept.last = last;
    site->kept.epoch = line ? line->epoch : 0;
    site->kept.reign = line ? line->reign : 0;
}

/* Did the history that this site goes by leave behind what its journal has? Then a file must have that. The
 * image of an unfinished copy has a log that began with it. */
static void check_tail(struct site *site)
{
    const struct cw_group_status *was = &site->before, *is = &site->status;
    bool is_known = site->status_life == site->life && was->history.count > 0 &&
                    was->image_state == CW_IMAGE_WHOLE && was->role != CW_ROLE_DOWN;
    uint64_t common, oldest = was->journal_oldest, written = was->sequences.written;

    site->status_life = site->life;
    if (is_known && is->role != CW_ROLE_DOWN) {
        const struct cw_history_entry *line = &was->history.entries[was->history.count - 1];
        cw_history_common(&was->history, was->head, &is->history, UINT64_MAX, &common);
        uint64_t first = CW_MAX(common + 1, oldest);
        bool is_kept = site->kept.life == site->life && site->kept.above < first &&
                       site->kept.last >= written && site->kept.epoch == line->epoch &&
                       site->kept.reign == line->reign;
        if (oldest > 0 && first <= written && !is_kept)
            world_fail(site->world,
                       "tail: site %u leaves its records %llu to %llu behind, and no salvage file has them",
                       site->id, (ull)first, (ull)written);
    }
    site->before = *is;
}

/* ------------------------------------------------------------------ after every turn */

static void check_relations(struct site *site)
{
    const struct cw_group_status *st = &site->status;
    const struct cw_sequences *q = &st->sequences;

    if (st->role == CW_ROLE_DOWN)
        return;
    if (q->durable > q->written || q->written > q->received || q->applied > q->commit)
        world_fail(site->world, "site %u: received %llu written %llu durable %llu commit %llu applied %llu",
                   site->id, (ull)q->received, (ull)q->written, (ull)q->durable, (ull)q->commit,
                   (ull)q->applied);
}

/* What the primary says of its own commit must be true of its disk and of its members. */
static void check_commit(struct site *site)
{
    struct world *w = site->world;
    const struct cw_group_status *st = &site->status;
    uint64_t commit = st->sequences.commit;
    const struct cw_history_entry *last = &st->history.entries[st->history.count - 1];

    if (site->is_journal_tainted || commit < last->first_sequence)
        return;
    if (!truth_holds(site, st->epoch, st->reign, commit, true))
        world_fail(w, "commit: %llu is not durable in the journal of the primary %u", (ull)commit, site->id);
    const struct store *s = outside_view(site);
    if (w->mode != CW_MODE_SYNC || s->epoch != st->epoch)
        return;
    uint8_t members = true_members(site, s);
    for (uint8_t i = 0; i < w->site_count; i++)
        if (members >> i & 1 && !truth_holds(&w->sites[i], st->epoch, st->reign, commit, false))
            world_fail(w, "commit: %llu of the primary %u is not in the journal of member %u", (ull)commit,
                       site->id, i);
}

static void commit_is_said(struct site *site)
{
    struct branch *own = oracle_branch(site->world, site->status.epoch, site->status.reign);

    if (own)
        own->commit = CW_MAX(own->commit, site->status.sequences.commit);
}

static bool is_trusted(const struct site *site)
{
    return site->state == SITE_RUNNING && !site->is_journal_tainted && !site->is_super_doubtful;
}

/* Two reigns without an ancestor in common: nobody ever followed the one and the other. */
static bool never_met(struct world *w, uint64_t epoch, uint64_t reign, const struct cw_group_status *line)
{
    struct branch *a, *b;

    (void)oracle_line(w, epoch, reign, UINT64_MAX, &a);
    (void)oracle_line(w, line->epoch, line->reign, UINT64_MAX, &b);
    while (a && a->parent >= 0)
        a = &w->oracle.branches[a->parent];
    while (b && b->parent >= 0)
        b = &w->oracle.branches[b->parent];
    return a && b && a != b;
}

/* Who is called diverged has applied, or may have, what is not in the line of the primary. */
static void check_diverged(struct site *site, struct site *other)
{
    const struct cw_identity *known = &site->status.peers[other->id].identity;
    const struct cw_group_status *st = &other->status;
    struct cw_group_status line;
    struct branch *here, *there;

    if (!is_trusted(site) || !is_trusted(other) || st->role != CW_ROLE_REPLICA ||
        st->image_state != CW_IMAGE_WHOLE || !same_boot(known, &st->identity) ||
        known->process_start != st->identity.process_start)
        return; /* it is somebody else by now, or its media said what is not so */
    line_of(st, &line);
    oracle_line(site->world, site->status.epoch, site->status.reign, st->applied_limit, &here);
    oracle_line(site->world, line.epoch, line.reign, st->applied_limit, &there);
    if (st->applied_limit == 0 && never_met(site->world, site->status.epoch, site->status.reign, &line))
        return; /* it applied nothing, but neither may be cut by the word of one that it shares nothing with
                 */
    if (here == there)
        world_fail(
            site->world,
            "diverged: primary %u says so of site %u, which applied up to %llu at most, of the same line",
            site->id, other->id, (ull)st->applied_limit);
}

static void check_peers(struct site *site)
{
    uint8_t diverged = 0;

    for (uint32_t i = 0; i < site->world->site_count; i++)
        if (site->status.role == CW_ROLE_PRIMARY && site->status.peers[i].state == CW_PEER_DIVERGED)
            diverged |= (uint8_t)(1u << i);
    for (uint32_t i = 0; i < site->world->site_count; i++)
        if ((diverged & ~site->last_diverged) >> i & 1)
            check_diverged(site, &site->world->sites[i]);
    site->last_diverged = diverged;
}

static void check_log(struct site *site)
{
    const uint64_t *id = site->status.identity.journal_id;
    bool is_same = id[0] == site->last_log.id[0] && id[1] == site->last_log.id[1];

    if (!is_same && site->last_log.life == site->life)
        truth_forget(site); /* else the scan has told it */
    if (!is_same && site->last_log.life)
        check_dropped(site);
    site->last_log.life = site->life;
    memcpy(site->last_log.id, id, sizeof site->last_log.id);
}

void check_turn(struct site *site)
{
    struct world *w = site->world;
    uint8_t role = site->status.role;

    if (w->failed)
        return;
    check_log(site);
    oracle_history(w, &site->status.history);
    check_tail(site);
    check_relations(site);
    if (role != site->last_role) {
        note(w, site, "role", role, site->status.epoch, site->status.head);
        tell(w, site, "is %s", cw_role_name((enum cw_role)role));
        if (role == CW_ROLE_PRIMARY && site->last_role != CW_ROLE_DRAINING) /* else a drain was given up */
            check_opened(site);
        world_crash_soon(site, role == CW_ROLE_PRIMARY ? 300 * CW_MS : 5 * CW_MS);
        site->last_role = role;
    }
    if (role >= CW_ROLE_PRIMARY)
        commit_is_said(site);
    if (role == CW_ROLE_PRIMARY && !w->failed)
        check_commit(site);
    check_peers(site);
    if (site->status.image_state == CW_IMAGE_WHOLE && site->last_image != CW_IMAGE_WHOLE)
        site->want_check = true; /* before later writes hide what a copy left */
    site->last_image = (uint8_t)site->status.image_state;
    if (!site->want_check || w->failed)
        return;
    site->want_check = false;
    check_files(site);
    if (role == CW_ROLE_PRIMARY && !w->failed)
        check_primary_state(site);
}
