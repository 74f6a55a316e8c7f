/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read of a step's `before` by others than its own kind (steps.h): how steps of one device hang together. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* before of a GIVE_UP and of a BIND: its interface comes back only when this device is the kernel's again. */
bool cw_before_is_of_device(const json_t *given_up, const json_t *bound);

/* Of two GIVE_UPs: the same interface, by its device and port, whatever its name is since a reboot. */
bool cw_before_is_same_interface(const json_t *a, const json_t *b);
/* A GIVE_UP of an interface that nobody has given anything yet, but maybe a router: as after a reboot, before the network. */
bool cw_before_is_bare(const json_t *given_up);
/* first, as it would have been kept when now was: its clock does not run over a reboot. The caller's to decref. */
json_t *cw_before_carry(const json_t *first, const json_t *now);
/* What a GIVE_UP has kept, short: "eth2: MAC 02:…, mtu 1500, 10.1.0.1/24, 2 routes, eth2.7". Cut where there is no room. */
void cw_before_words(const json_t *given_up, char *words, size_t size);
