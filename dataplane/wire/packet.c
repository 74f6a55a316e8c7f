/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of packet.h. There is one legal shape; anything else is refused before a key is touched. */
#include "wire/packet.h"

#include <string.h>

#include "base/bytes.h"

#define KNOWN_BITS (CW_PACKET_FLAGS_KNOWN | (CW_LANES_MAX - 1) << CW_PACKET_LANE_SHIFT)
static_assert((CW_LANES_MAX & (CW_LANES_MAX - 1)) == 0, "a lane is a number of whole bits");
static_assert(CW_PACKET_FLAGS_KNOWN >> CW_PACKET_LANE_SHIFT == 0, "they stand above the flags");

/* Only data and repairs are of a block; a repair always is. */
static bool fec_is_good(const struct cw_packet *packet)
{
    if (packet->fec_repairs == 0)
        return packet->type != CW_PACKET_REPAIR;
    return packet->fec_block <= 0xffffff &&
           (packet->type == CW_PACKET_DATA || packet->type == CW_PACKET_REPAIR);
}

/* What this type of packet has no use for. A later version that finds one has another number. */
static bool unused_are_zero(const struct cw_packet *packet)
{
    if (packet->fec_repairs == 0 && (packet->fec_block | packet->fec_index) != 0)
        return false;
    if (packet->type == CW_PACKET_DATA)
        return true;
    if (packet->type == CW_PACKET_REPAIR)
        return packet->position < CW_PACKET_PATHS_MAX;
    if (packet->type == CW_PACKET_CONTROL && packet->stream != 0)
        return false;
    return packet->position == 0 && (packet->type != CW_PACKET_HANDSHAKE || packet->iv == 0);
}

void cw_packet_encode(const struct cw_packet *packet, uint8_t *bytes)
{
    CW_ASSERT(packet->type > CW_PACKET_NONE && packet->type < CW_PACKET_TYPE_COUNT);
    CW_ASSERT((packet->flags & ~CW_PACKET_FLAGS_KNOWN) == 0);
    CW_ASSERT(packet->lane < CW_LANES_MAX);
    CW_ASSERT(fec_is_good(packet));
    CW_ASSERT(unused_are_zero(packet));
    bytes[0] = CW_PSP_NEXT_HEADER;
    bytes[1] = CW_PSP_EXTENSION_LENGTH;
    bytes[2] = CW_PSP_CRYPT_OFFSET;
    bytes[3] = CW_PSP_VERSION_BYTE;
    cw_store32be(bytes + 4, packet->spi);
    cw_store64be(bytes + 8, packet->iv);
    bytes[16] = (uint8_t)(CW_PACKET_VERSION << 4 | packet->type);
    bytes[17] = (uint8_t)(packet->flags | packet->lane << CW_PACKET_LANE_SHIFT);
    cw_store16le(bytes + 18, packet->session);
    cw_store32le(bytes + 20, packet->ticks);
    cw_store16le(bytes + 24, packet->length);
    bytes[26] = packet->stream;
    bytes[27] = packet->fec_repairs;
    cw_store32le(bytes + 28, packet->fec_block | (uint32_t)packet->fec_index << 24);
    cw_store64le(bytes + 32, packet->position);
}

enum cw_packet_error cw_packet_check(const uint8_t *datagram, size_t length, struct cw_packet *packet)
{
    if (length < CW_PACKET_OVERHEAD)
        return CW_PACKET_SHORT;
    if (datagram[0] != CW_PSP_NEXT_HEADER || datagram[1] != CW_PSP_EXTENSION_LENGTH ||
        datagram[2] != CW_PSP_CRYPT_OFFSET || datagram[3] != CW_PSP_VERSION_BYTE)
        return CW_PACKET_BAD_PSP;
    if (datagram[16] >> 4 != CW_PACKET_VERSION)
        return CW_PACKET_BAD_VERSION;
    *packet = (struct cw_packet){
        .spi = cw_load32be(datagram + 4),
        .iv = cw_load64be(datagram + 8),
        .type = datagram[16] & 0x0f,
        .flags = datagram[17] & CW_PACKET_FLAGS_KNOWN,
        .lane = (datagram[17] >> CW_PACKET_LANE_SHIFT) & (CW_LANES_MAX - 1),
        .stream = datagram[26],
        .session = cw_load16le(datagram + 18),
        .length = cw_load16le(datagram + 24),
        .ticks = cw_load32le(datagram + 20),
        .position = cw_load64le(datagram + 32),
        .fec_repairs = datagram[27],
        .fec_block = cw_load32le(datagram + 28) & 0xffffff,
        .fec_index = datagram[31],
    };
    if (packet->type == CW_PACKET_NONE || packet->type >= CW_PACKET_TYPE_COUNT)
        return CW_PACKET_BAD_TYPE;
    if (datagram[17] & ~KNOWN_BITS)
        return CW_PACKET_BAD_RESERVED;
    if (!fec_is_good(packet))
        return CW_PACKET_BAD_FIELD;
    if ((packet->spi == CW_SPI_HANDSHAKE) != (packet->type == CW_PACKET_HANDSHAKE))
        return CW_PACKET_BAD_FIELD;
    if (packet->length + CW_PACKET_OVERHEAD != length)
        return CW_PACKET_BAD_LENGTH;
    return unused_are_zero(packet) ? CW_PACKET_OK : CW_PACKET_BAD_RESERVED;
}
