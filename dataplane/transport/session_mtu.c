/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The size of a path's datagrams: what pmtu.h finds, and how it learns of it. Probes are packets of their
 * own, full of zeros, with a PING behind each whose ack tells soon that a probe was lost. They count neither
 * as losses nor for rate control.
 */
#include "transport/session.h"

#include "base/bytes.h"
#include "base/numbers.h"
#include "transport/session_internal.h"

/* Of a quoted datagram, as in PROTOCOL.md: SPI and packet number. */
#define AT_SPI       4u
#define AT_IV        8u
#define QUOTED_BYTES 16u
static_assert(QUOTED_BYTES == CW_SESSION_QUOTED_BYTES, "a quotation holds what is looked at");

static_assert(CW_PMTU_BYTES_MIN == CW_DATAGRAM_BYTES_MIN, "what is sent is never smaller than what is taken");

uint32_t cw_session_data_bytes_max(const struct cw_path *p)
{
    return p->live->data_bytes_max - (p->live->datagram_bytes - cw_pmtu_bytes(&p->pmtu));
}

static void obey(struct cw_path *p)
{
    uint32_t unit = p->session->send.unit_bytes, bytes = cw_session_data_bytes_max(p) - CW_FRAME_DATA_SIZE;
    CW_ASSERT(bytes >= unit);
    p->units_of_fragment = CW_MIN(bytes / unit, CW_UNITS_OF_FRAGMENT_MAX);
}

void cw_session_mtu_open(struct cw_path *p, uint32_t unit_bytes, uint64_t now_ns)
{
    cw_pmtu_start(&p->pmtu, p->config->is_mtu_probed, CW_PMTU_BASE_BYTES, unit_bytes, p->live->datagram_bytes,
                  now_ns);
    obey(p);
}

uint64_t cw_session_mtu_deadline_ns(const struct cw_path *p)
{
    return cw_session_has_room_for_data(p) ? cw_pmtu_deadline_ns(&p->pmtu) : CW_NEVER;
}

size_t cw_session_mtu_build(struct cw_path *p, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_packet packet = {.type = CW_PACKET_CONTROL, .flags = CW_PACKET_ACK_WANTED};
    uint32_t bytes = cw_pmtu_probe(&p->pmtu, now_ns);
    CW_ASSERT(bytes <= p->live->datagram_bytes);
    size_t length = cw_frame_write_probe(datagram + CW_PACKET_HEADER_SIZE, bytes - CW_PACKET_OVERHEAD);
    struct cw_sent sent = {.kind = CW_SENT_MTU, .sent_ns = now_ns, .bytes = (uint16_t)bytes};
    cw_inflight_add(&p->inflight, &sent);
    p->ping_due = true;
    cw_path_count(p, CW_SESSION_MTU_PROBES);
    return cw_session_seal(p, &packet, datagram, length, now_ns);
}

void cw_session_mtu_on_acked(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind != CW_SENT_MTU) {
        cw_pmtu_on_acked(&p->pmtu, sent->bytes);
        return;
    }
    cw_pmtu_on_probe_acked(&p->pmtu, sent->bytes, now_ns);
    obey(p);
}

void cw_session_mtu_on_lost(struct cw_path *p, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_MTU) {
        cw_pmtu_on_probe_lost(&p->pmtu, sent->bytes, now_ns);
    } else if (cw_pmtu_on_lost(&p->pmtu, sent->bytes, sent->sent_ns, now_ns)) {
        cw_path_count(p, CW_SESSION_BLACK_HOLES);
        obey(p);
    }
}

/* Of the datagram, its size: 0 when nobody waits for it. One given up counts: on a short way the loss is
 * often found before the router's word has come through the lanes. */
static uint32_t bytes_of_missing(const struct cw_inflight *inflight, uint64_t number)
{
    struct cw_sent sent;
    if (cw_inflight_find(inflight, number, &sent))
        return sent.bytes;
    const struct cw_lost *lost = cw_inflight_find_lost(inflight, number);
    return lost != NULL ? lost->sent.bytes : 0;
}

bool cw_session_on_too_big(struct cw_session *s, uint32_t path, const uint8_t *quoted, size_t length,
                           uint32_t datagram_bytes, uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    struct cw_path *p = &s->paths[path];
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    uint32_t sent_bytes = 0;
    if (s->state == CW_STATE_UP && length >= QUOTED_BYTES && cw_load32be(quoted + AT_SPI) == p->live->spi_out)
        sent_bytes = bytes_of_missing(&p->inflight, cw_load64be(quoted + AT_IV));
    if (sent_bytes <= datagram_bytes || datagram_bytes < p->pmtu.base) {
        cw_path_count(p, CW_SESSION_DROP_HINT);
        return false;
    }
    cw_path_count(p, CW_SESSION_MTU_HINTS);
    if (cw_pmtu_on_hint(&p->pmtu, datagram_bytes, now_ns))
        obey(p);
    return true;
}

void cw_session_on_narrower(struct cw_session *s, uint32_t path, uint32_t datagram_bytes, uint64_t now_ns)
{
    CW_ASSERT(path < s->config.path_count);
    struct cw_path *p = &s->paths[path];
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    if (p->state == CW_PATH_UP && cw_pmtu_on_hint(&p->pmtu, datagram_bytes, now_ns))
        obey(p);
}
