/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which process uses a card, or an interface that the kernel keeps: for whoever is about to take it, or to open it a second
 * time. Nothing is changed. Processes of other users are seen by root only. Words are such as "causeway-engine, process 4711,
 * has it open".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The card's file is open: of vfio, of uio, or of verbs, by which DPDK shares a card with the kernel's driver; or somebody
 * has it without a file, by vfio, or may have it: words then say who, and what is known. card: its folder in /sys, or a
 * link to it. */
bool cw_users_of_card(const char *card, char *words, size_t size);

/* An interface of this network namespace. Its card's file is open; or it has an AF_XDP socket, whosesoever; or one of our
 * programs has a packet socket or an XDP program on it (what others do with these, as tcpdump and lldpd do, goes on
 * whatever becomes of the interface). false: with words, it cannot be told for lack of this; "" nobody. */
bool cw_users_of_interface(const char *interface, char *words, size_t size);

/* What the kernel answers when it is asked for AF_XDP sockets, a buffer as recv fills it: those on this interface, by inode,
 * up to max in all. 0: there is more to come; 1: that was the end; else the errno, negative. */
int cw_users_take_sockets(const void *answer, size_t length, unsigned interface, unsigned long *inodes,
                          unsigned max, unsigned *count);
