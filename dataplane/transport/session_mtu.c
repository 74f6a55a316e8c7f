/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The size of a session's datagrams: what pmtu.h finds, and how it learns of it. Probes are packets of their
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

uint32_t cw_session_data_bytes_max(const struct cw_session *s)
{
    return s->live->data_bytes_max - (s->live->datagram_bytes - cw_pmtu_bytes(&s->pmtu));
}

static void obey(struct cw_session *s)
{
    cw_send_limit(&s->send, cw_session_data_bytes_max(s) - CW_FRAME_DATA_SIZE);
}

void cw_session_mtu_open(struct cw_session *s, uint64_t now_ns)
{
    uint32_t unit = cw_unit_bytes(s->live->data_bytes_max - CW_FRAME_DATA_SIZE);
    cw_pmtu_start(&s->pmtu, s->config.is_mtu_probed, CW_PMTU_BASE_BYTES, unit, s->live->datagram_bytes,
                  now_ns);
    obey(s);
}

uint64_t cw_session_mtu_deadline_ns(const struct cw_session *s)
{
    return cw_session_has_room_for_data(s) ? cw_pmtu_deadline_ns(&s->pmtu) : CW_NEVER;
}

size_t cw_session_mtu_build(struct cw_session *s, uint8_t *datagram, uint64_t now_ns)
{
    struct cw_packet packet = {.type = CW_PACKET_CONTROL, .flags = CW_PACKET_ACK_WANTED};
    uint32_t bytes = cw_pmtu_probe(&s->pmtu, now_ns);
    CW_ASSERT(bytes <= s->live->datagram_bytes);
    size_t length = cw_frame_write_probe(datagram + CW_PACKET_HEADER_SIZE, bytes - CW_PACKET_OVERHEAD);
    struct cw_sent *sent = cw_inflight_add(&s->inflight, CW_SENT_MTU, bytes, 0, now_ns);
    sent->bytes = (uint16_t)bytes;
    s->ping_due = true;
    cw_session_count(s, CW_SESSION_MTU_PROBES);
    return cw_session_seal(s, &packet, datagram, length, now_ns);
}

void cw_session_mtu_on_acked(struct cw_session *s, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind != CW_SENT_MTU) {
        if (!sent->is_recovered) /* else the path did not deliver it */
            cw_pmtu_on_acked(&s->pmtu, sent->bytes);
        return;
    }
    cw_pmtu_on_probe_acked(&s->pmtu, sent->bytes, now_ns);
    obey(s);
}

void cw_session_mtu_on_lost(struct cw_session *s, const struct cw_sent *sent, uint64_t now_ns)
{
    if (sent->kind == CW_SENT_MTU) {
        cw_pmtu_on_probe_lost(&s->pmtu, sent->bytes, now_ns);
    } else if (cw_pmtu_on_lost(&s->pmtu, sent->bytes, sent->sent_ns, now_ns)) {
        cw_session_count(s, CW_SESSION_BLACK_HOLES);
        obey(s);
    }
}

bool cw_session_on_too_big(struct cw_session *s, const uint8_t *quoted, size_t length,
                           uint32_t datagram_bytes, uint64_t now_ns)
{
    s->now_ns = now_ns = CW_MAX(s->now_ns, now_ns);
    const struct cw_sent *sent = NULL;
    if (s->state == CW_STATE_UP && length >= QUOTED_BYTES && cw_load32be(quoted + AT_SPI) == s->live->spi_out)
        sent = cw_inflight_find(&s->inflight, cw_load64be(quoted + AT_IV));
    if (!sent || sent->state != CW_SENT_OUTSTANDING || sent->bytes <= datagram_bytes ||
        datagram_bytes < s->pmtu.base) {
        cw_session_count(s, CW_SESSION_DROP_HINT);
        return false;
    }
    cw_session_count(s, CW_SESSION_MTU_HINTS);
    if (cw_pmtu_on_hint(&s->pmtu, datagram_bytes, now_ns))
        obey(s);
    return true;
}
