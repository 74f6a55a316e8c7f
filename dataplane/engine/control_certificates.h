/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who a peer is, by certificates: OpenSSL on the control thread, for sessions on the net lcore. The two rings
 * of mail.h carry bytes and verdicts; each peer has at most one attempt under way, and the peer that its live
 * session was made with, who is judged again when files change and as time goes on.
 *
 * The files of `security` are looked at every second. When one has changed, and rests, all are read again;
 * what cannot be used is said, again once a day, and what was loaded before stays. If that is our own pair
 * alone, the revocations are taken all the same.
 */
#pragma once

#include "engine/control.h"

/* Whether the files of the configuration can be used; ":LINE: what" in why, also for a warning. True: there
 * are none. */
bool cw_auth_check(const struct cw_node_config *config, char *why, size_t why_size);

/* All of these do nothing without certificates. Before the lcores start; words in why. */
enum cw_status cw_auth_start(struct cw_control *control, char *why, size_t why_size) CW_MUST_CHECK;
void cw_auth_end(struct cw_control *control);
/* Once in each turn of the control thread. */
void cw_auth_turn(struct cw_control *control);
/* How long control may sleep, at most `otherwise`. */
int cw_auth_wait_ms(const struct cw_control *control, int otherwise);
/* Whose certificate the live session of a peer has, "" without. */
const char *cw_auth_peer(const struct cw_control *control, uint32_t peer);
/* RPC certificates.reload */
void cw_method_certificates_reload(struct cw_call *call);
