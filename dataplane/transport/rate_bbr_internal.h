/* SPDX-License-Identifier: BSD-3-Clause */
/* What the state machine of BBR (rate_bbr.c) asks of its model of the path (rate_bbr_model.c). */
#pragma once

#include "transport/rate_bbr.h"

#define CW_BBR_INFINITE UINT64_MAX

bool cw_bbr_is_in_probe_bw(const struct cw_bbr *bbr);

/* rounds, 5.5.1, and the full pipe, 5.3.1.2 */
void cw_bbr_start_round(struct cw_bbr *bbr, const struct cw_rate_path *path);
void cw_bbr_reset_full_bw(struct cw_bbr *bbr);
void cw_bbr_check_full_bw_reached(struct cw_bbr *bbr, const struct cw_rate_path *path);

/* bandwidth and loss, 5.5.5 and 5.5.10 */
void cw_bbr_advance_max_bw_filter(struct cw_bbr *bbr);
void cw_bbr_reset_congestion_signals(struct cw_bbr *bbr);
void cw_bbr_reset_short_term_model(struct cw_bbr *bbr);
void cw_bbr_update_latest_delivery_signals(struct cw_bbr *bbr, const struct cw_rate_path *path);
void cw_bbr_advance_latest_delivery_signals(struct cw_bbr *bbr, const struct cw_rate_path *path);
void cw_bbr_update_congestion_signals(struct cw_bbr *bbr, const struct cw_rate_path *path);
bool cw_bbr_is_inflight_too_high(const struct cw_bbr *bbr, uint64_t lost, uint64_t tx_in_flight);
uint64_t cw_bbr_inflight_at_loss(const struct cw_bbr *bbr, uint64_t tx_in_flight, uint64_t lost,
                                 uint32_t bytes);

void cw_bbr_update_min_rtt(struct cw_bbr *bbr, const struct cw_rate_path *path,
                           uint64_t now_ns); /* 5.3.4.3 */
void cw_bbr_update_ack_aggregation(struct cw_bbr *bbr, const struct cw_rate_path *path,
                                   uint64_t now_ns); /* 5.5.9 */

/* volume, 5.6.4.2; gains in per cent */
uint64_t cw_bbr_min_pipe(const struct cw_rate_path *path);
uint64_t cw_bbr_bdp(struct cw_bbr *bbr, const struct cw_rate_path *path, uint32_t gain);
uint64_t cw_bbr_inflight(struct cw_bbr *bbr, const struct cw_rate_path *path, uint32_t gain);
uint64_t cw_bbr_inflight_with_headroom(const struct cw_bbr *bbr, const struct cw_rate_path *path);
uint64_t cw_bbr_max_inflight(struct cw_bbr *bbr, const struct cw_rate_path *path);
