/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/no_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

_Thread_local bool cw_no_alloc;
static _Atomic uint64_t allocations;
static bool must_abort;

uint64_t cw_no_alloc_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

void cw_no_alloc_init(void)
{
    must_abort = getenv("CAUSEWAY_ABORT_ON_ALLOCATION") != NULL;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_OWN_MALLOC 1
#endif
#endif

#ifndef HAS_OWN_MALLOC

/* glibc's own names for its allocator, which its malloc family resolves to when nobody replaces it. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static inline void notice(void)
{
    if (__builtin_expect(!cw_no_alloc, 1))
        return;
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (must_abort) {
        cw_no_alloc = false; /* the panic itself may */
        CW_ASSERT(!"an lcore allocates nothing after start");
    }
}

void *malloc(size_t size)
{
    notice();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    notice();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    notice();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    notice();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    notice();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    notice();
    *memory = __libc_memalign(alignment, size);
    return *memory != NULL ? 0 : ENOMEM;
}

#endif
