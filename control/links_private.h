/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of links have in common: links.c, links_sites.c, links_remotes.c. */
#pragma once

#include <sys/socket.h>

#include "control/controller.h"

#define CW_LINK_SHAKE_NS  (5 * CW_SECOND) /* a handshake that takes longer ends */
#define CW_LINK_SERIAL(i) (-1 - (int)(i)) /* of our connection to the site with this index */

bool cw_links_is_other_site(const struct cw_controller *controller, uint32_t site);
socklen_t cw_links_fill_address(const struct cw_config_address *address, struct sockaddr_storage *to);

/* links_sites.c: sites by their index in the configuration */
bool cw_links_is_linked(const struct cw_controller *controller, uint32_t site);
void cw_link_site_tick(struct cw_controller *controller, uint32_t site);
/* There is a message that the loop is not to wait for. */
bool cw_link_site_waits(const struct cw_link_site *link);
void cw_link_site_drain(struct cw_controller *controller, uint32_t site, short events);
void cw_link_site_end(struct cw_controller *controller, uint32_t site, const char *why);

/* links_remotes.c */
void cw_remotes_tick(struct cw_controller *controller);
void cw_remotes_accept(struct cw_controller *controller);
void cw_remote_drain(struct cw_controller *controller, struct cw_client *remote, short events);
void cw_remote_drop(struct cw_controller *controller, struct cw_client *remote, const char *why);
