/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses as the configuration spells them. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/raw_config.h"

bool cw_config_parse_mac(const char *text, uint8_t mac[6])
{
    unsigned int b[6];
    char more;
    if (strlen(text) != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &more) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    return (mac[0] & 1) == 0;
}

bool cw_config_parse_ip(const char *text, struct cw_ip *ip)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        *ip = cw_ip_v4(ntohl(v4.s_addr));
        return ip->bytes[0] != 0 && ip->bytes[0] < 224;
    }
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    *ip = cw_ip_v6(v6.s6_addr);
    return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_V4MAPPED(&v6);
}

bool cw_config_parse_host(const char *text, struct cw_ip *ip, uint8_t *prefix_bits)
{
    char address[INET6_ADDRSTRLEN], *end;
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = 0;
    if (!cw_config_parse_ip(address, ip))
        return false;
    if (slash == NULL)
        return true;
    unsigned long bits = slash[1] >= '1' && slash[1] <= '9' ? strtoul(slash + 1, &end, 10) : 0;
    if (bits < 1 || *end || bits >= 8 * cw_ip_size(ip))
        return false;
    *prefix_bits = (uint8_t)bits;
    return true;
}

bool cw_config_address_parse(const char *text, struct cw_config_address *address)
{
    char host[INET6_ADDRSTRLEN], *end = NULL;
    bool is_v6 = text[0] == '[';
    const char *from = text + is_v6, *stop = is_v6 ? strstr(text, "]:") : strchr(text, ':');
    size_t length = stop ? (size_t)(stop - from) : sizeof host;
    *address = (struct cw_config_address){0};
    if (length >= sizeof host)
        return false;
    memcpy(host, from, length);
    host[length] = 0;
    const char *port = stop + 1 + is_v6;
    unsigned long number = *port >= '1' && *port <= '9' ? strtoul(port, &end, 10) : 0;
    struct cw_ip ip = {0};
    if (number < 1 || number > 65535 || *end || !cw_config_parse_ip(host, &ip) || (ip.version == 6) != is_v6)
        return false;
    *address = (struct cw_config_address){.ip = ip, .port = (uint16_t)number};
    return true;
}

bool cw_config_address_is_loopback(const struct cw_config_address *address)
{
    static const uint8_t v6[CW_IP_BYTES_MAX] = {[15] = 1};
    return address->ip.version == 6 ? memcmp(address->ip.bytes, v6, sizeof v6) == 0
                                    : address->ip.version == 4 && address->ip.bytes[0] == 127;
}

bool cw_config_parse_url(const char *text)
{
    static const char *const here[] = {"http://127.0.0.1:", "http://[::1]:", "http://localhost:"};
    const char *host = strncmp(text, "https://", 8) == 0 ? text + 8 : NULL;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        if (strncmp(text, here[i], strlen(here[i])) == 0)
            host = text + 7;
    }
    const char *port = host ? strrchr(host, ':') : NULL;
    if (!port || port == host ||
        strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]") != strlen(host))
        return false;
    size_t digits = strspn(port + 1, "0123456789");
    return digits > 0 && digits < 6 && port[1 + digits] == 0 && atoi(port + 1) > 0 &&
           atoi(port + 1) <= UINT16_MAX;
}
