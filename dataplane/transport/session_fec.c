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
    fec->repair_was_last = false;
    fec->held_count = 0;
    fec->verdict_ns = CW_NEVER;
    fec->news_count = 0;
}

void cw_session_fec_open(struct cw_path *p, const struct cw_lane *lane)
{
    struct cw_session_fec *fec = p->fec;
    if (!fec)
        return;
    forget(fec);
    fec->is_on = lane->has_fec;
    if (!fec->is_on)
        return;
    cw_fec_receiver_reset(&fec->receiver);
    cw_fec_sender_open(&fec->sender, blocks_of(lane->fec_peer), lane->fec_peer >> OFFER_SHIFT);
    cw_fec_auto_reset(&fec->automatic);
}

void cw_session_fec_close(struct cw_path *p)
{
    if (!p->fec)
        return;
    forget(p->fec);
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

bool cw_session_fec_is_on(const struct cw_path *p)
{
    return p->fec && p->fec->is_on;
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
static void note_opened(struct cw_path *p, const struct cw_packet *packet, uint32_t block)
{
    const struct cw_fec_sender *sender = &p->fec->sender;
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
    if (!cw_session_fec_is_on(p))
        return;
    struct cw_session_fec *fec = p->fec;
    enum cw_fec_lane lane = lane_of(packet->stream);
    bool opens = !fec->sender.lanes[lane].open;
    uint32_t waiting = opens ? waiting_in(p, lane, cw_fec_sender_room(&fec->sender)) : 0;
    uint64_t iv = p->live->next_iv; /* that seal will take */
    write_head(datagram + SYMBOL_AT, packet, iv, length);
    fec->repair_was_last = false;
    if (!cw_fec_sender_add(&fec->sender, lane, waiting, datagram + SYMBOL_AT,
                           (uint32_t)length + CW_FEC_HEAD_SIZE, now_ns, &place))
        return;
    if (opens)
        note_opened(p, packet, place.block);
    packet->fec_block = place.block;
    packet->fec_index = place.index;
    packet->fec_repairs = place.repairs;
    struct cw_sent *sent = cw_inflight_find(&p->inflight, iv);
    CW_ASSERT(sent != NULL && "it was added before it is sealed");
    sent->fec_lane = (uint8_t)(1 + lane);
}

/* Nothing of the latency lane waits to be sent: its stripe is closed by the next look. */
static bool latency_is_empty(const struct cw_path *p)
{
    return waiting_in(p, CW_FEC_LANE_LATENCY, 1) == 0;
}

static void look(struct cw_path *p, uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    cw_fec_sender_look(&fec->sender, latency_is_empty(p), now_ns);
    if (p->config->fec.mode != CW_FEC_AUTO || now_ns < fec->automatic.next_ns)
        return;
    struct cw_fec_shape shape =
        cw_fec_auto_now(&fec->automatic, cw_meter_sum(&p->packets_sent, now_ns), now_ns);
    cw_fec_sender_shape(&fec->sender, &shape);
    fec->automatic.next_ns = now_ns + CW_FEC_AUTO_EACH_NS;
}

/* Repairs of a lane leave beside its data and after all data of a higher one. */
static enum cw_fec_lane lane_now(const struct cw_path *p)
{
    return latency_is_empty(p) ? CW_FEC_LANE_BULK : CW_FEC_LANE_LATENCY;
}

static size_t build_repair(struct cw_path *p, enum cw_fec_lane lane, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_fec_place place;
    struct cw_session_fec *fec = p->fec;
    uint32_t source_count;
    if (!cw_fec_sender_has_repair(&fec->sender, lane) || !cw_session_make_room_for_data(p, now_ns))
        return 0;
    uint32_t length = cw_fec_sender_take_repair(&fec->sender, lane, datagram + CW_PACKET_HEADER_SIZE, &place,
                                                &source_count, now_ns);
    struct cw_packet packet = {.type = CW_PACKET_REPAIR,
                               .flags = CW_PACKET_ACK_WANTED,
                               .stream = (uint8_t)source_count,
                               .fec_block = place.block,
                               .fec_index = place.index,
                               .fec_repairs = place.repairs};
    CW_ASSERT(p->live->next_iv == p->inflight.next_number);
    struct cw_sent *sent = cw_inflight_add(&p->inflight, CW_SENT_REPAIR, 0, 0, now_ns);
    cw_session_rate_sent(p, sent, length + CW_PACKET_OVERHEAD, now_ns);
    cw_path_on_sent(p, now_ns);
    cw_meter_add(&p->packets_sent, 1, now_ns);
    cw_path_count(p, CW_SESSION_FEC_REPAIRS_OUT);
    fec->repair_was_last = true;
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

size_t cw_session_fec_build(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    look(p, now_ns);
    enum cw_fec_lane lane = lane_now(p);
    size_t length = p->fec->repair_was_last ? 0 : build_repair(p, lane, datagram, now_ns);
    if (length == 0)
        length = cw_session_build_data(p, datagram, now_ns);
    return length ? length : build_repair(p, lane, datagram, now_ns);
}

bool cw_session_fec_has_output(const struct cw_path *p)
{
    if (!cw_session_fec_is_on(p) || p->state != CW_PATH_UP || !cw_session_has_room_for_data(p) ||
        !cw_session_rate_has_room(p))
        return false;
    const struct cw_fec_sender *sender = &p->fec->sender;
    bool is_empty = latency_is_empty(p);
    return (is_empty && sender->lanes[CW_FEC_LANE_LATENCY].open) ||
           cw_fec_sender_has_repair(sender, is_empty ? CW_FEC_LANE_BULK : CW_FEC_LANE_LATENCY);
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

/* Makes room: the oldest of those that were told before. */
static void forget_one(struct cw_session_fec *fec)
{
    uint32_t i = 0;
    while (fec->news[i].times_left == CW_FEC_NEWS_TIMES)
        i++;
    CW_ASSERT(i < fec->news_count && "fewer are fresh than there is room");
    fec->news_count--;
    for (; i < fec->news_count; i++)
        fec->news[i] = fec->news[i + 1];
}
static_assert(CW_RECOVERED_MAX < CW_FEC_NEWS_MAX, "what is fresh never fills it");

/*
 * It counts as received when it is told, so that no ACK has it as merely late. But ranges are few, and one
 * forgotten for the gaps left open costs more than a loss that goes unsaid: no more wait than one frame
 * tells.
 */
static void add_news(struct cw_path *p, uint64_t number, uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    uint32_t times = CW_FEC_NEWS_TIMES;
    if (fresh_news(fec) >= CW_RECOVERED_MAX) {
        cw_ack_ranges_add(&p->acks, number, true, now_ns);
        times--;
    }
    if (fec->news_count == CW_FEC_NEWS_MAX)
        forget_one(fec);
    fec->news[fec->news_count++] = (struct cw_fec_news){number, times};
    p->acks.deadline_ns = now_ns;
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

/* Lists those that are fresh, or those that are not, up to this many in the list. */
static void tell(struct cw_path *p, bool is_fresh, uint32_t up_to, struct cw_recovered_list *list,
                 uint64_t now_ns)
{
    struct cw_session_fec *fec = p->fec;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fec->news_count; i++) {
        struct cw_fec_news news = fec->news[i];
        if ((news.times_left == CW_FEC_NEWS_TIMES) == is_fresh && list->count < up_to &&
            fits(list, news.number)) {
            list->numbers[list->count++] = news.number;
            news.times_left--;
            if (is_fresh)
                cw_ack_ranges_add(&p->acks, news.number, true, now_ns);
        }
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
    tell(p, false, CW_RECOVERED_MAX - CW_MIN(fresh_news(p->fec), CW_RECOVERED_MAX), &list, now_ns);
    tell(p, true, CW_RECOVERED_MAX, &list, now_ns);
    return cw_frame_write_recovered(at, &list);
}

/* The number below the highest that came whose low half this is: a repair leaves after its sources. 0: none.
 */
static uint64_t whole_number(uint64_t highest, uint32_t low)
{
    uint32_t below = (uint32_t)highest - low;
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
        cw_path_count(p, CW_SESSION_FEC_RECOVERED);
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
    if (!cw_session_fec_is_on(p)) {
        cw_path_count(p, CW_SESSION_DROP_FRAME);
        return;
    }
    cw_path_count(p, CW_SESSION_FEC_REPAIRS_IN);
    cw_ack_ranges_add(&p->acks, packet->iv, true, now_ns);
    cw_fec_receiver_repair(&p->fec->receiver, &place, packet->stream, symbol, packet->length, &recovered);
    give_back(p, &recovered, now_ns);
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

bool cw_session_fec_on_recovered(struct cw_path *p, const struct cw_recovered_list *recovered,
                                 uint64_t now_ns)
{
    for (uint32_t i = 0; i < recovered->count; i++)
        if (recovered->numbers[i] >= p->inflight.next_number)
            return false;
    cw_rate_ack_begin(&p->rate, now_ns);
    for (uint32_t i = 0; i < recovered->count; i++) {
        struct cw_sent *sent = cw_inflight_find(&p->inflight, recovered->numbers[i]);
        if (sent && sent->state == CW_SENT_OUTSTANDING)
            cw_session_lose(p, sent, now_ns);
        if (sent && sent->state == CW_SENT_LOST)
            sent->is_recovered = true;
    }
    cw_session_rate_obey(p);
    return true;
}

/* How long after it was given up a packet waits for its repairs. */
static uint64_t patience_ns(const struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    enum cw_fec_lane lane = (enum cw_fec_lane)(sent->fec_lane - 1);
    return CW_MIN(cw_fec_sender_lag_ns(&p->fec->sender, lane, now_ns), cw_loss_delay_ns(&p->loss));
}

bool cw_session_fec_holds(struct cw_path *p, struct cw_sent *sent, uint64_t now_ns)
{
    if (!cw_session_fec_is_on(p) || sent->fec_lane == 0)
        return false;
    sent->is_held = true;
    p->fec->held_count++;
    p->fec->verdict_ns = CW_MIN(p->fec->verdict_ns, now_ns + patience_ns(p, sent, now_ns));
    return true;
}

void cw_session_fec_let_go(struct cw_path *p, struct cw_sent *sent, bool is_acked)
{
    if (!sent->is_held)
        return;
    CW_ASSERT(p->fec->held_count > 0);
    p->fec->held_count--;
    sent->is_held = false;
    if (!is_acked)
        cw_send_on_lost(&p->session->send, sent->reference, sent->fragment, (uint8_t)p->index);
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
    struct cw_sent *sent = cw_inflight_oldest_lost(&p->inflight);
    for (; sent; sent = cw_inflight_after(&p->inflight, sent)) {
        if (!sent->is_held)
            continue;
        uint64_t due_ns = sent->sent_ns + patience_ns(p, sent, now_ns);
        if (due_ns <= now_ns)
            cw_session_fec_let_go(p, sent, false);
        else
            fec->verdict_ns = CW_MIN(fec->verdict_ns, due_ns);
    }
}

void cw_session_fec_on_time(struct cw_path *p, uint64_t now_ns)
{
    if (!cw_session_fec_is_on(p))
        return;
    look(p, now_ns);
    if (now_ns >= p->fec->verdict_ns)
        give_verdicts(p, now_ns);
}

uint64_t cw_session_fec_deadline_ns(const struct cw_path *p)
{
    if (!cw_session_fec_is_on(p))
        return CW_NEVER;
    return CW_MIN(p->fec->verdict_ns, cw_fec_sender_deadline_ns(&p->fec->sender));
}
