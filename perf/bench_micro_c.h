/* SPDX-License-Identifier: BSD-3-Clause */
/* What bench_micro.cc measures, behind plain C functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_aead;
struct bench_aead *bench_aead_new(int which); /* 0: ipsec-mb, 1: OpenSSL */
const char *bench_aead_name(const struct bench_aead *aead);
void bench_aead_seal(struct bench_aead *aead, uint8_t *data, size_t length);
bool bench_aead_open(struct bench_aead *aead, uint8_t *plain, const uint8_t *cipher, size_t length);
void bench_aead_free(struct bench_aead *aead);

struct bench_ring;
struct bench_ring *bench_ring_new(void);
void bench_ring_push_pop(struct bench_ring *ring); /* 64 bytes in, 64 bytes out, one thread */
void bench_ring_free(struct bench_ring *ring);

struct bench_session;
struct bench_session *bench_session_new(size_t datagram_bytes);
uint64_t
bench_session_message(struct bench_session *bench); /* 128 KiB over and acknowledged; datagrams used */
/* The same: nanoseconds that the sender took for the acks of so many datagrams. */
uint64_t bench_session_acks(struct bench_session *bench, uint64_t *datagrams);
void bench_session_free(struct bench_session *bench);

struct bench_acks;
struct bench_acks *bench_acks_new(void);
void bench_acks_receive(struct bench_acks *acks,
                        uint32_t lost_each); /* 64 packets come, and one ACK is made */
void bench_acks_free(struct bench_acks *acks);

#ifdef __cplusplus
}
#endif
