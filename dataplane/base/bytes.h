/* SPDX-License-Identifier: BSD-3-Clause */
/* Loads and stores of fixed byte order, for formats on disk and wire. Ours are little-endian; PSP is big. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define CW_LOAD_STORE(bits, order, convert_in, convert_out)                                                  \
    static inline uint##bits##_t cw_load##bits##order(const void *from)                                      \
    {                                                                                                        \
        uint##bits##_t v;                                                                                    \
        memcpy(&v, from, sizeof v);                                                                          \
        return convert_in(v);                                                                                \
    }                                                                                                        \
    static inline void cw_store##bits##order(void *to, uint##bits##_t value)                                 \
    {                                                                                                        \
        uint##bits##_t v = convert_out(value);                                                               \
        memcpy(to, &v, sizeof v);                                                                            \
    }

CW_LOAD_STORE(16, le, le16toh, htole16)
CW_LOAD_STORE(32, le, le32toh, htole32)
CW_LOAD_STORE(64, le, le64toh, htole64)
CW_LOAD_STORE(16, be, be16toh, htobe16)
CW_LOAD_STORE(32, be, be32toh, htobe32)
CW_LOAD_STORE(64, be, be64toh, htobe64)

#undef CW_LOAD_STORE
