/* SPDX-License-Identifier: BSD-3-Clause */
/* The glue between blocks and packets. Every function but the first three is one of a path. */
#include "transport/session_fec.h"

#include "base/bytes.h"
#include "base/numbers.h"
#include "transport/session_internal.h"

#define SYMBOL_AT        (CW_PACKET_HEADER_SIZE - CW_FEC_HEAD_SIZE)
#define RECEIVED_BLOCKS  16u /* held at least, whatever the depth */
#define OFFER_SHIFT      12u /* repairs above, blocks below */
#define OFFER_BLOCKS_MIN 4u
static_assert(4 * CW_FEC_DEPTH_MAX < 1u << OFFER_SHIFT && CW_FEC_REPAIRS_MAX < 16, "they share 16 bits");
static_assert(SYMBOL_AT == 24, "length, stream and position of the header stand where the symbol has them");

/* ---- life -------------------------------------------------------------------------------------------- */

static struct cw_fec_shape limits_of(const struct cw_fec_config *config)
{
    if (config->mode == CW_FEC_AUTO)
        return (struct cw_fec_shape){CW_FEC_AUTO_SOURCES, CW_FEC_AUTO_REPAIRS, CW_FEC_AUTO_DEPTH};
    return (struct cw_fec_shape){config->sources, config->repairs, config->depth};
}

struct cw_session_fec *cw_session_fec_carve(const struct cw_session_path_config *config,
                                            struct cw_arena *arena)
{
    struct cw_session_fec measured;
    if (config->fec.mode == CW_FEC_OFF)
        return NULL;
    struct cw_fec_shape limits = limits_of(&config->fec);
    uint32_t blocks = RECEIVED_BLOCKS, symbol_bytes = config->datagram_bytes_max - CW_PACKET_OVERHEAD;
    while (blocks < 4u * limits.depth)
        blocks *= 2;
    struct cw_session_fec *fec = cw_arena_take(arena, sizeof *fec, 64);
    struct cw_session_fec *to = fec ? fec : &measured;
    cw_fec_sender_init(&to->sender, arena, &to->code, &limits, symbol_bytes);
    cw_fec_receiver_init(&to->receiver, arena, &to->code, blocks, limits.repairs, symbol_bytes);
    if (fec)
        cw_fec_code_init(&fec->code);
    return fec;
}

uint16_t cw_session_fec_offer(const struct cw_session_fec *fec)
{
    if (!fec)
        return 0;
    return (uint16_t)((fec->receiver.mask + 1) | fec->receiver.repairs_max << OFFER_SHIFT);
}

static uint32_t blocks_of(uint16_t offer)
{
    return offer & ((1u << OFFER_SHIFT) - 1);
}

bool cw_session_fec_agreed(const struct cw_session_fec *fec, uint16_t peer_offer)
{
    return fec && blocks_of(peer_offer) >= OFFER_BLOCKS_MIN && peer_offer >> OFFER_SHIFT > 0;
}

static void forget(struct cw_session_fec *fec)
{
    fec->held_count = 0;
    fec->verdict_ns = CW_NEVER;
    fec->news_count = fec->early_count = 0;
    fec->detour_ns = 0;
    fec->blocks_opened = (struct cw_meter){.shift = CW_FEC_BLOCKS_SHIFT};
}

void cw_session_fec_open(struct cw_path *p, const struct cw_sa *sa)
{
    struct cw_session_fec *fec = p->fec;
    if (!fec)
        return;
    forget(fec);
    fec->is_on = sa->has_fec;
    if (!fec->is_on)
        return;
    p->session->fec_count++;
    cw_fec_receiver_reset(&fec->receiver);
    cw_fec_sender_open(&fec->sender, blocks_of(sa->fec_peer), sa->fec_peer >> OFFER_SHIFT);
    cw_fec_auto_reset(&fec->automatic);
}

void cw_session_fec_close(struct cw_path *p)
{
    if (!p->fec)
        return;
    forget(p->fec);
    p->session->fec_count -= p->fec->is_on;
    p->fec->is_on = false;
}

void cw_session_fec_abandon(struct cw_path *p)
{
    if (!cw_session_fec_is_on(p))
        return;
    CW_ASSERT(p->fec->held_count == 0);
    p->fec->verdict_ns = CW_NEVER;
    cw_fec_sender_abandon(&p->fec->sender);
}

/* ---- out --------------------------------------------------------------------------------------------- */

static enum cw_fec_lane lane_of(uint8_t stream)
{
    return stream == CW_STREAM_RESYNC ? CW_FEC_LANE_BULK : CW_FEC_LANE_LATENCY;
}

static uint32_t waiting_in(const struct cw_path *p, enum cw_fec_lane lane, uint32_t limit)
{
    if (lane == CW_FEC_LANE_BULK)
        return cw_send_waiting(&p->session->send, CW_STREAM_RESYNC, CW_STREAM_RESYNC, p->units_of_fragment,
                               limit);
    return cw_send_waiting(&p->session->send, CW_STREAM_CONTROL, CW_STREAM_LIVE, p->units_of_fragment, limit);
}

static void write_head(uint8_t *symbol, const struct cw_packet *packet, uint64_t iv, size_t length)
{
    cw_store16le(symbol, (uint16_t)length);
    symbol[2] = packet->stream;
    symbol[3] = packet->type;
    cw_store32le(symbol + 4, (uint32_t)iv);
    cw_store64le(symbol + 8, packet->position);
}

/* A stripe was opened for this packet, which counts as sent already. One that is sent again takes nothing
 * back of what was said before. */
static void note_opened(struct cw_path *p, const struct cw_packet *packet, uint32_t block, uint64_t now_ns)
{
    const struct cw_fec_sender *sender = &p->fec->sender;
    if (p->session->config.path_count > 1) /* else nobody asks how many */
        cw_meter_add(&p->fec->blocks_opened, (sender->next_block - block) & CW_FEC_NUMBER_MASK, now_ns);
    uint64_t left = cw_send_left(&p->session->send, CW_STREAM_LIVE);
    if (packet->stream == CW_STREAM_LIVE && !(packet->flags & CW_PACKET_RETRANSMISSION))
        left = CW_MIN(left, packet->position);
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++)
        if (sender->stripes[i].state != CW_FEC_STRIPE_FREE && sender->stripes[i].first == block)
            p->fec->left_before[i] = left;
}

/* Until a stripe's last repair has left, nothing has that began to leave after it was opened. */
uint64_t cw_session_fec_live_left(const struct cw_path *p, uint64_t left)
{
    if (!cw_session_fec_is_on(p))
        return left;
    for (uint32_t i = 0; i < CW_FEC_STRIPES; i++) {
        const struct cw_fec_stripe *stripe = &p->fec->sender.stripes[i];
        if (stripe->state != CW_FEC_STRIPE_FREE && stripe->lane == CW_FEC_LANE_LATENCY)
            left = CW_MIN(left, p->fec->left_before[i]);
    }
    return left;
}

void cw_session_fec_protect(struct cw_path *p, struct cw_packet *packet, uint8_t *datagram, size_t length,
                            uint64_t now_ns)
{
    struct cw_fec_place place;
    p->repair_was_last = false;
    if (!cw_session_fec_is_on(p))
        return;
    struct cw_session_fec *fec = p->fec;
    enum cw_fec_lane lane = lane_of(packet->stream);
    bool opens = !fec->sender.lanes[lane].open;
    uint32_t waiting = opens ? waiting_in(p, lane, cw_fec_sender_room(&fec->sender)) : 0;
    uint64_t iv = p->live->next_iv; /* that seal will take */
    write_head(datagram + SYMBOL_AT, packet, iv, length);
    if (!cw_fec_sender_add(&fec->sender, lane, waiting, datagram + SYMBOL_AT,
                           (uint32_t)length + CW_FEC_HEAD_SIZE, now_ns, &place))
        return;
    if (opens)
        note_opened(p, packet, place.block, now_ns);
    packet->fec_block = place.block;
    packet->fec_index = place.index;
    packet->fec_repairs = place.repairs;
    CW_ASSERT(iv + 1 == p->inflight.next_number && "it was added before it is sealed");
    cw_inflight_protect_newest(&p->inflight, (uint8_t)(1 + lane));
}

void cw_session_fec_look(struct cw_path *p, bool latency_is_empty, uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    cw_fec_sender_look(&fec->sender, latency_is_empty, now_ns);
    if (p->config->fec.mode != CW_FEC_AUTO || now_ns < fec->automatic.next_ns)
        return;
    struct cw_fec_shape shape =
        cw_fec_auto_now(&fec->automatic, cw_meter_sum(&p->packets_sent, now_ns), now_ns);
    cw_fec_sender_shape(&fec->sender, &shape);
    fec->automatic.next_ns = now_ns + CW_FEC_AUTO_EACH_NS;
}

/* ---- what was given back ----------------------------------------------------------------------------- */

static uint32_t fresh_news(const struct cw_session_fec *fec)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fec->news_count; i++)
        count += fec->news[i].times_left == CW_FEC_NEWS_TIMES;
    return count;
}

bool cw_session_fec_has_fresh_news(const struct cw_path *p)
{
    return cw_session_fec_is_on(p) && fresh_news(p->fec) > 0;
}

/* It may still come itself: hardly anything newer has come on its path. On the only path its repair is newer
 * already. */
static bool is_early(const struct cw_path *p, uint64_t number)
{
    uint64_t overtaken = p->session->config.path_count > 1 ? CW_FEC_OVERTAKEN : 0;
    return number + overtaken > p->live->replay.highest;
}

/* What has not come by now is missing: that is to be told. */
static void look_at_early(struct cw_path *p)
{
    struct cw_session_fec *fec = p->fec;
    for (uint32_t i = 0; i < fec->news_count && fec->early_count > 0; i++) {
        struct cw_fec_news *news = &fec->news[i];
        if (!news->is_early || is_early(p, news->number))
            continue;
        *news = (struct cw_fec_news){news->number, CW_FEC_NEWS_TIMES, false};
        fec->early_count--;
        cw_path_count(p, CW_SESSION_FEC_RECOVERED);
    }
}

static void remove_news(struct cw_session_fec *fec, uint32_t i)
{
    fec->early_count -= fec->news[i].is_early;
    fec->news_count--;
    for (; i < fec->news_count; i++)
        fec->news[i] = fec->news[i + 1];
}

/* Makes room: the oldest of those that were told before. */
static void forget_one(struct cw_session_fec *fec)
{
    uint32_t i = 0;
    while (fec->news[i].times_left == CW_FEC_NEWS_TIMES)
        i++;
    CW_ASSERT(i < fec->news_count && "fewer are fresh than there is room");
    remove_news(fec, i);
}
static_assert(CW_RECOVERED_MAX < CW_FEC_NEWS_MAX, "what is fresh never fills it");

/*
 * It counts as received when it is told, so that no ACK has it as merely late. But ranges are few, and one
 * forgotten for the gaps left open costs more than a loss that goes unsaid: no more wait than one frame
 * tells. One that may still come is told once, as soon as an ack would be, if it has not come by then.
 */
static void add_news(struct cw_path *p, uint64_t number, uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    bool early = is_early(p, number), is_too_many = fresh_news(fec) >= CW_RECOVERED_MAX;
    struct cw_fec_news news = {number, CW_FEC_NEWS_TIMES - is_too_many, early};
    fec->early_count += early;
    cw_path_count(p, early ? CW_SESSION_FEC_EARLY : CW_SESSION_FEC_RECOVERED);
    if (is_too_many && !early)
        cw_ack_ranges_add(&p->acks, number, true, now_ns);
    if (fec->news_count == CW_FEC_NEWS_MAX)
        forget_one(fec);
    fec->news[fec->news_count++] = news;
    p->acks.deadline_ns = CW_MIN(p->acks.deadline_ns, early ? now_ns + CW_ACK_DELAY_NS : now_ns);
}

void cw_session_fec_on_came(struct cw_path *p, uint64_t number)
{
    struct cw_session_fec *fec = p->fec;
    for (uint32_t i = 0; i < fec->news_count; i++) {
        if (fec->news[i].number != number || !fec->news[i].is_early)
            continue;
        remove_news(fec, i);
        return;
    }
}

/* One frame has numbers that are not further apart than this; a peer that means ill can make such. */
static bool fits(const struct cw_recovered_list *list, uint64_t number)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint64_t other = list->numbers[i];
        if ((number > other ? number - other : other - number) > UINT32_MAX)
            return false;
    }
    return true;
}

static void tell_one(struct cw_path *p, struct cw_fec_news *news, bool is_fresh,
                     struct cw_recovered_list *list, uint64_t now_ns)
{
    if (news->is_early)
        list->early |= (uint16_t)(1u << list->count);
    else if (is_fresh)
        cw_ack_ranges_add(&p->acks, news->number, true, now_ns);
    list->numbers[list->count++] = news->number;
    news->times_left--;
}

/* Lists those that are fresh, or those that are not, up to this many in the list. */
static void tell(struct cw_path *p, bool is_fresh, uint32_t up_to, struct cw_recovered_list *list,
                 uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fec->news_count; i++) {
        struct cw_fec_news news = fec->news[i];
        bool is_new = news.times_left == CW_FEC_NEWS_TIMES, waits = news.is_early && !is_new;
        if (is_new == is_fresh && !waits && list->count < up_to && fits(list, news.number))
            tell_one(p, &news, is_fresh, list, now_ns);
        if (news.times_left > 0)
            fec->news[kept++] = news;
    }
    fec->news_count = kept;
}

size_t cw_session_fec_write_news(struct cw_path *p, uint8_t *at, uint64_t now_ns)
{
    struct cw_recovered_list list = {.path = p->live->number};
    if (!cw_session_fec_is_on(p) || p->fec->news_count == 0)
        return 0;
    look_at_early(p);
    tell(p, false, CW_RECOVERED_MAX - CW_MIN(fresh_news(p->fec), CW_RECOVERED_MAX), &list, now_ns);
    tell(p, true, CW_RECOVERED_MAX, &list, now_ns);
    return list.count > 0 ? cw_frame_write_recovered(at, &list) : 0;
}

/* The number whose low half this is and that is nearest to the highest that came: above it, if the repair
 * came on another path and was there first. 0: none. */
static uint64_t whole_number(uint64_t highest, uint32_t low)
{
    uint32_t above = low - (uint32_t)highest, below = (uint32_t)highest - low;
    if (above < below)
        return highest + above;
    return below < highest ? highest - below : 0;
}

/* Foreign: sealed by the peer, or made of what it sealed. false: it is no packet of this session. */
static bool read_symbol(const struct cw_path *p, const uint8_t *symbol, uint32_t length,
                        struct cw_packet *packet)
{
    if (length < CW_FEC_HEAD_SIZE || symbol[3] != CW_PACKET_DATA)
        return false;
    *packet = (struct cw_packet){.type = symbol[3],
                                 .stream = symbol[2],
                                 .length = cw_load16le(symbol),
                                 .position = cw_load64le(symbol + 8),
                                 .iv = whole_number(p->live->replay.highest, cw_load32le(symbol + 4))};
    return packet->iv != 0 && packet->length <= length - CW_FEC_HEAD_SIZE &&
           cw_replay_test(&p->live->replay, packet->iv);
}

/* The number is not committed to the replay window: should the packet itself come late, it is a duplicate. */
static void give_back(struct cw_path *p, const struct cw_fec_recovered *recovered, uint64_t now_ns)
{
    for (uint32_t i = 0; i < recovered->count && cw_session_fec_is_on(p); i++) {
        struct cw_packet packet;
        if (!read_symbol(p, recovered->symbols[i], recovered->length, &packet)) {
            cw_path_count(p, CW_SESSION_DROP_FRAME);
            continue;
        }
        if (!cw_session_on_payload(p, &packet, recovered->symbols[i] + CW_FEC_HEAD_SIZE, true, now_ns))
            continue;
        add_news(p, packet.iv, now_ns);
    }
}

static struct cw_fec_place place_of(const struct cw_packet *packet)
{
    return (struct cw_fec_place){packet->fec_block, packet->fec_index, packet->fec_repairs};
}

void cw_session_fec_on_source(struct cw_path *p, const struct cw_packet *packet, uint8_t *datagram,
                              uint64_t now_ns)
{
    struct cw_fec_recovered recovered;
    struct cw_fec_place place = place_of(packet);
    if (!cw_session_fec_is_on(p) || packet->fec_repairs == 0)
        return;
    write_head(datagram + SYMBOL_AT, packet, packet->iv, packet->length);
    cw_fec_receiver_source(&p->fec->receiver, &place, datagram + SYMBOL_AT, packet->length + CW_FEC_HEAD_SIZE,
                           &recovered);
    give_back(p, &recovered, now_ns);
}

void cw_session_fec_on_repair(struct cw_path *p, const struct cw_packet *packet, const uint8_t *symbol,
                              uint64_t now_ns)
{
    struct cw_fec_recovered recovered;
    struct cw_fec_place place = place_of(packet);
    CW_ASSERT(packet->position < CW_SESSION_PATHS_MAX && "cw_packet_check has seen to it");
    struct cw_path *of = p->session->numbered[packet->position];
    if (!of || !cw_session_fec_is_on(of)) {
        cw_path_count(p, CW_SESSION_DROP_FRAME);
        return;
    }
    cw_path_count(p, CW_SESSION_FEC_REPAIRS_IN);
    cw_ack_ranges_add(&p->acks, packet->iv, true, now_ns);
    cw_fec_receiver_repair(&of->fec->receiver, &place, packet->stream, symbol, packet->length, &recovered);
    give_back(of, &recovered, now_ns);
}

void cw_session_fec_stats(const struct cw_path *p, uint64_t counters[CW_SESSION_COUNTER_COUNT])
{
    if (!p->fec)
        return;
    const uint64_t *in = p->fec->receiver.counts, *out = p->fec->sender.counts;
    counters[CW_SESSION_FEC_BLOCKS_OUT] = out[CW_FEC_OUT_BLOCKS];
    counters[CW_SESSION_FEC_UNPROTECTED] = out[CW_FEC_OUT_UNPROTECTED];
    counters[CW_SESSION_FEC_BLOCKS_IN] = in[CW_FEC_IN_BLOCKS];
    counters[CW_SESSION_FEC_UNRECOVERABLE] = in[CW_FEC_IN_UNRECOVERABLE];
    counters[CW_SESSION_FEC_LATE] = in[CW_FEC_IN_LATE];
    counters[CW_SESSION_FEC_BAD] = in[CW_FEC_IN_BAD];
}

/* ---- losses ------------------------------------------------------------------------------------------ */

/* What it carried is there. Whether the path lost it is not known yet: it stays where it is. */
static void take_early(struct cw_path *p, const struct cw_sent *sent)
{
    if (sent->kind != CW_SENT_DATA && sent->kind != CW_SENT_COPY)
        return;
    struct cw_message_out *message = cw_send_on_acked(&p->session->send, sent->message, sent->fragment);
    if (message)
        cw_session_push_sent(p->session, message, true);
}

static void take_recovered(struct cw_path *p, uint64_t number, bool is_early_one, uint64_t now_ns)
{
    struct cw_sent sent;
    struct cw_lost *lost = NULL;
    bool is_out = cw_inflight_find(&p->inflight, number, &sent);
    if (!is_out)
        lost = cw_inflight_find_lost(&p->inflight, number);
    if (!is_out && !lost)
        return;
    if (is_early_one) {
        if (lost)
            cw_session_fec_let_go(p, lost, true);
        take_early(p, is_out ? &sent : &lost->sent);
        return;
    }
    if (is_out)
        lost = cw_session_lose(p, &sent, now_ns);
    lost->is_recovered = true;
}

bool cw_session_fec_on_recovered(struct cw_path *p, const struct cw_recovered_list *recovered,
                                 uint64_t now_ns)
{
    for (uint32_t i = 0; i < recovered->count; i++)
        if (recovered->numbers[i] >= p->inflight.next_number)
            return false;
    cw_rate_ack_begin(&p->rate, now_ns);
    for (uint32_t i = 0; i < recovered->count; i++)
        take_recovered(p, recovered->numbers[i], recovered->early >> i & 1, now_ns);
    cw_session_rate_obey(p);
    return true;
}

/* How long after it was given up a packet waits for its repairs: as much later as they leave, and as they are
 * longer under way. Never longer for those of a slow path than for its own. */
static uint64_t patience_ns(const struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    enum cw_fec_lane lane = (enum cw_fec_lane)(sent->fec_lane - 1);
    uint64_t late_ns = cw_fec_sender_lag_ns(&p->fec->sender, lane, now_ns) + p->fec->detour_ns;
    return CW_MIN(late_ns, cw_loss_delay_ns(&p->loss));
}

bool cw_session_fec_holds(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (!cw_session_fec_is_on(p) || sent->fec_lane == 0)
        return false;
    p->fec->held_count++;
    p->fec->verdict_ns = CW_MIN(p->fec->verdict_ns, now_ns + patience_ns(p, sent, now_ns));
    return true;
}

void cw_session_fec_let_go(struct cw_path *p, struct cw_lost *lost, bool is_acked)
{
    if (!lost->is_held)
        return;
    CW_ASSERT(p->fec->held_count > 0);
    p->fec->held_count--;
    lost->is_held = false;
    if (!is_acked)
        cw_send_on_lost(&p->session->send, lost->sent.message, lost->sent.fragment, (uint8_t)p->index);
}

void cw_session_fec_on_lost(struct cw_path *p, uint64_t number, uint64_t now_ns)
{
    if (cw_session_fec_is_on(p))
        cw_fec_auto_on_lost(&p->fec->automatic, number, now_ns);
}

/* Those whose repairs did not help are sent again. At most CW_LOST_REMEMBERED are looked at. */
static void give_verdicts(struct cw_path *p, uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    fec->verdict_ns = CW_NEVER;
    if (fec->held_count == 0)
        return;
    struct cw_lost *lost = cw_inflight_oldest_lost(&p->inflight);
    for (; lost; lost = cw_inflight_lost_after(&p->inflight, lost)) {
        if (!lost->is_held)
            continue;
        uint64_t due_ns = lost->lost_ns + patience_ns(p, &lost->sent, now_ns);
        if (due_ns <= now_ns)
            cw_session_fec_let_go(p, lost, false);
        else
            fec->verdict_ns = CW_MIN(fec->verdict_ns, due_ns);
    }
}

void cw_session_fec_on_time(struct cw_path *p, uint64_t now_ns)
{
    if (!cw_session_fec_is_on(p))
        return;
    bool latency_is_empty = cw_send_waiting_units(&p->session->send, CW_STREAM_LIVE) == 0;
    cw_session_fec_look(p, latency_is_empty, now_ns);
    if (now_ns >= p->fec->verdict_ns)
        give_verdicts(p, now_ns);
}

uint64_t cw_session_fec_deadline_ns(const struct cw_path *p)
{
    if (!cw_session_fec_is_on(p))
        return CW_NEVER;
    return CW_MIN(p->fec->verdict_ns, cw_fec_sender_deadline_ns(&p->fec->sender));
}
