/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port whose peer may speak from elsewhere. A token is a hash of IP address and UDP port, so that nothing
 * is kept of an address before the session says that it matters. All frames leave towards the same next hop:
 * a router (the configuration sees to it), for which nothing else changes. ICMP about datagrams to such an
 * address is not listened to; a path that got smaller is found out by its losses.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/numbers.h"
#include "io/port_internal.h"

struct place {
    struct cw_ip ip;
    uint16_t udp;
};

static struct place place_of(const struct cw_port *port, const uint8_t *datagram)
{
    struct place place;
    memset(&place, 0, sizeof place); /* it is hashed */
    cw_frame_source(&port->path, datagram, &place.ip, &place.udp);
    return place;
}

static uint64_t token_of(const struct cw_port *port, const struct place *place)
{
    uint8_t bytes[sizeof place->ip.bytes + sizeof place->udp];
    if (cw_ip_is_equal(&place->ip, &port->path.addresses.remote_ip))
        return 0;
    memcpy(bytes, place->ip.bytes, sizeof place->ip.bytes);
    memcpy(bytes + sizeof place->ip.bytes, &place->udp, sizeof place->udp);
    return cw_hash64(bytes, sizeof bytes) | 1; /* 0 is the configured one */
}

uint64_t cw_port_source(const struct cw_port *port, const uint8_t *datagram)
{
    struct place place = place_of(port, datagram);
    return token_of(port, &place);
}

static struct cw_port_away *away_of(struct cw_port *port, uint64_t token)
{
    for (uint32_t i = 0; i < CW_PORT_AWAYS; i++)
        if (port->aways[i].token == token)
            return &port->aways[i];
    return NULL;
}

void cw_port_remember(struct cw_port *port, const uint8_t *datagram, uint64_t kept)
{
    struct place place = place_of(port, datagram);
    uint64_t token = token_of(port, &place);
    if (token == 0 || away_of(port, token) != NULL)
        return;
    struct cw_port_away *away = &port->aways[port->aways[0].token != 0 && port->aways[0].token == kept];
    struct cw_frame_addresses addresses = port->path.addresses;
    addresses.remote_ip = place.ip;
    addresses.remote_udp = place.udp;
    cw_frame_path_init(&away->path, &addresses);
    if (port->path.is_sum_device_s)
        cw_frame_path_leave_sum(&away->path);
    away->token = token;
}

void cw_port_transmit_commit_to(struct cw_port *port, size_t length, uint64_t token)
{
    if (token == 0) {
        cw_port_transmit_commit(port, length);
        return;
    }
    struct cw_port_away *away = away_of(port, token);
    if (away == NULL) {
        cw_port_transmit_abandon(port);
        return;
    }
    if (memcmp(away->path.addresses.remote_mac, port->path.addresses.remote_mac, 6) != 0)
        cw_frame_path_set_remote_mac(&away->path, port->path.addresses.remote_mac);
    cw_port_commit_by(port, &away->path, length);
}

void cw_port_address_text(const struct cw_port *port, uint64_t token, char text[CW_PORT_ADDRESS_TEXT])
{
    const struct cw_frame_addresses *to = &port->path.addresses;
    char ip[INET6_ADDRSTRLEN] = "";
    for (uint32_t i = 0; i < CW_PORT_AWAYS; i++)
        if (token != 0 && port->aways[i].token == token)
            to = &port->aways[i].path.addresses;
    (void)inet_ntop(to->remote_ip.version == 6 ? AF_INET6 : AF_INET, to->remote_ip.bytes, ip, sizeof ip);
    snprintf(text, CW_PORT_ADDRESS_TEXT, "%s port %u", ip, to->remote_udp);
}
