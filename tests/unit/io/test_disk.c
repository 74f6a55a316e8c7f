/* SPDX-License-Identifier: BSD-3-Clause */
/* Backing files: creating and its failures, locks, aligned and unaligned transfers, zeroes, extents, faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/numbers.h"
#include "io/disk.h"

static char folder[64];       /* on the file system of /tmp */
static char small_folder[96]; /* a 4 MiB tmpfs, where we may mount */
static bool has_small;
static struct cw_uring uring;
static char why[256];

struct waiting {
    struct cw_uring_op op;
    int result;
    unsigned calls;
};

static void on_done(struct cw_uring_op *op, int result, uint32_t flags)
{
    struct waiting *waiting = CW_CONTAINER_OF(op, struct waiting, op);
    waiting->result = result;
    waiting->calls++;
}

static int wait_for(struct waiting *waiting)
{
    cw_uring_submit(&uring);
    while (uring.in_flight > 0) {
        if (cw_uring_reap(&uring, 8) == 0)
            cw_uring_sleep(&uring, 100 * CW_MS);
    }
    assert_int_equal(waiting->calls, 1);
    return waiting->result;
}

static int sync_read(struct cw_disk_file *file, void *data, uint32_t length, uint64_t offset)
{
    struct waiting waiting = {.op = {.done = on_done}};
    cw_disk_read(&uring, file, &waiting.op, data, length, offset);
    return wait_for(&waiting);
}

static int sync_write(struct cw_disk_file *file, const void *data, uint32_t length, uint64_t offset)
{
    struct waiting waiting = {.op = {.done = on_done}};
    cw_disk_write(&uring, file, &waiting.op, data, length, offset, false);
    return wait_for(&waiting);
}

static int sync_zeroes(struct cw_disk_file *file, uint64_t offset, uint64_t length, bool punch)
{
    struct waiting waiting = {.op = {.done = on_done}};
    struct cw_disk_zero zero;
    cw_disk_zeroes(&uring, file, &zero, &waiting.op, offset, length, punch);
    return wait_for(&waiting);
}

static void path_in(char *path, size_t size, const char *where, const char *name)
{
    assert_true(snprintf(path, size, "%s/%s", where, name) < (int)size);
}

static void open_fresh(struct cw_disk_file *file, const char *where, uint64_t size, enum cw_disk_fill fill)
{
    char path[160];
    path_in(path, sizeof path, where, "file");
    unlink(path);
    if (cw_disk_create(path, size, fill, NULL, NULL, why, sizeof why) != CW_OK)
        fail_msg("%s", why);
    if (cw_disk_open(file, path, why, sizeof why) != CW_OK)
        fail_msg("%s", why);
    assert_int_equal(file->size, size);
}

static void close_and_remove(struct cw_disk_file *file)
{
    cw_disk_close(file);
    assert_int_equal(unlink(file->path), 0);
}

static unsigned entries_in(const char *where)
{
    char command[200];
    unsigned count = 0;
    snprintf(command, sizeof command, "ls -A %s | wc -l", where);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

static uint64_t blocks_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (uint64_t)info.st_blocks * 512;
}

static void count_progress(void *context, uint64_t done, uint64_t total)
{
    uint64_t *seen = context;
    assert_true(done > seen[0]);
    assert_true(done <= total);
    seen[0] = done;
    seen[1] = total;
}

static void creates_with_all_its_space(void **state)
{
    char path[160];
    uint64_t seen[2] = {0, 0};
    path_in(path, sizeof path, folder, "journal");
    assert_int_equal(
        cw_disk_create(path, 3 * CW_MIB + 512, CW_DISK_WRITE_THROUGH, count_progress, seen, why, sizeof why),
        CW_OK);
    assert_int_equal(seen[0], 3 * CW_MIB + 512);
    assert_int_equal(seen[1], 3 * CW_MIB + 512);
    assert_true(blocks_of(path) >= 3 * CW_MIB + 512);
    assert_int_equal(cw_disk_create(path, CW_MIB, CW_DISK_RESERVE, NULL, NULL, why, sizeof why), CW_EXISTS);
    assert_non_null(strstr(why, path));
    assert_true(blocks_of(path) >= 3 * CW_MIB);
    unlink(path);
    assert_int_equal(cw_disk_create(path, CW_MIB, CW_DISK_RESERVE, NULL, NULL, why, sizeof why), CW_OK);
    assert_true(blocks_of(path) >= CW_MIB);
    unlink(path);
    assert_int_equal(cw_disk_create(path, CW_GIB, CW_DISK_THIN, NULL, NULL, why, sizeof why), CW_OK);
    assert_true(blocks_of(path) < CW_MIB);
    unlink(path);
    assert_int_equal(cw_disk_create("/nowhere/at/all", CW_MIB, CW_DISK_THIN, NULL, NULL, why, sizeof why),
                     CW_NOT_FOUND);
    assert_int_equal(cw_disk_create(path, 0, CW_DISK_THIN, NULL, NULL, why, sizeof why), CW_INVALID);
    assert_int_equal(entries_in(folder), 0);
}

static void full_disk_refuses_and_leaves_nothing(void **state)
{
    char path[160];
    struct statvfs before, after;
    if (!has_small) {
        print_message("skipped: may not mount a tmpfs here\n");
        skip();
    }
    path_in(path, sizeof path, small_folder, "large");
    assert_int_equal(statvfs(small_folder, &before), 0);
    for (int fill = CW_DISK_RESERVE; fill <= CW_DISK_WRITE_THROUGH; fill++) {
        assert_int_equal(cw_disk_create(path, 64 * CW_MIB, fill, NULL, NULL, why, sizeof why), CW_NO_SPACE);
        assert_non_null(strstr(why, "No space"));
        assert_int_equal(entries_in(small_folder), 0);
    }
    assert_int_equal(statvfs(small_folder, &after), 0);
    assert_int_equal(before.f_bfree, after.f_bfree);
}

static void second_opener_is_refused(void **state)
{
    struct cw_disk_file file, second;
    open_fresh(&file, folder, CW_MIB, CW_DISK_RESERVE);
    assert_true(file.is_locked);
    assert_int_equal(cw_disk_open(&second, file.path, why, sizeof why), CW_REFUSED); /* same process */
    assert_non_null(strstr(why, "in use"));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        cw_disk_close(&file); /* the child's copies: the lock is the parent's too */
        _exit(cw_disk_open(&second, file.path, why, sizeof why) == CW_REFUSED ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    cw_disk_close(&file);
    assert_int_equal(cw_disk_open(&second, file.path, why, sizeof why), CW_OK);
    file = second;
    close_and_remove(&file);
    assert_int_equal(cw_disk_open(&file, "/tmp/cw-disk-no-such-file", why, sizeof why), CW_NOT_FOUND);
    assert_int_equal(cw_disk_open(&file, folder, why, sizeof why), CW_IO); /* a folder */
}

static void check_transfers(const char *where)
{
    struct cw_disk_file file;
    static _Alignas(4096) uint8_t out[16384], in[16384];
    open_fresh(&file, where, CW_MIB, CW_DISK_RESERVE);
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(sync_write(&file, out, 8192, 4096), 8192);
    assert_int_equal(sync_read(&file, in, 8192, 4096), 8192);
    assert_memory_equal(in, out, 8192);
    /* Memory, length and offset without any alignment; the surroundings stay. */
    assert_int_equal(sync_write(&file, out + 4099, 1001, 4096 + 333), 1001);
    memcpy(out + 333, out + 4099, 1001);
    assert_int_equal(sync_read(&file, in, 8192, 4096), 8192);
    assert_memory_equal(in, out, 8192);
    assert_int_equal(sync_read(&file, in + 1, 77, 4096 + 300), 77);
    assert_memory_equal(in + 1, out + 300, 77);
    /* Direct after buffered: the old page must not be seen. */
    memset(out, 0xee, 4096);
    assert_int_equal(sync_write(&file, out, 4096, 4096), 4096);
    assert_int_equal(sync_read(&file, in + 3, 50, 4096 + 40), 50);
    assert_memory_equal(in + 3, out, 50);
    /* Beyond the end: short, and therefore an error. */
    assert_int_equal(sync_read(&file, in, 8192, CW_MIB - 4096), -EIO);
    assert_int_equal(cw_disk_pread(&file, in, 8192, CW_MIB - 4096), CW_IO);
    assert_int_equal(cw_disk_pwrite(&file, out, 4096, 0), CW_OK);
    assert_int_equal(cw_disk_pread(&file, in, 4096, 0), CW_OK);
    assert_memory_equal(in, out, 4096);
    assert_int_equal(cw_disk_sync(&file), CW_OK);
    struct waiting waiting = {.op = {.done = on_done}};
    cw_disk_fdatasync(&uring, &file, &waiting.op);
    assert_int_equal(wait_for(&waiting), 0);
    close_and_remove(&file);
}

/* A thin file on a disk that fills up: also the write that finds room for a part of it says so. */
static void no_room_is_told_from_a_broken_disk(void **state)
{
    struct cw_disk_file file;
    const size_t size = 3 * CW_MIB;
    if (!has_small) {
        print_message("skipped: may not mount a tmpfs here\n");
        skip();
    }
    uint8_t *data = aligned_alloc(4096, size);
    assert_non_null(data);
    memset(data, 0xab, size);
    open_fresh(&file, small_folder, 16 * CW_MIB, CW_DISK_THIN);
    assert_int_equal(sync_write(&file, data, (uint32_t)size, 0), (int)size);
    assert_int_equal(sync_write(&file, data, (uint32_t)size, size), -ENOSPC); /* a third of it fits */
    assert_int_equal(sync_write(&file, data, 4096, 8 * CW_MIB), -ENOSPC);
    assert_int_equal(cw_disk_pwrite(&file, data, size, size), CW_NO_SPACE);
    assert_int_equal(sync_write(&file, data, (uint32_t)size, 0), (int)size);
    free(data);
    close_and_remove(&file);
}

static void transfers_of_any_alignment(void **state)
{
    check_transfers(folder);
    if (has_small)
        check_transfers(small_folder);
}

/* Zeroes [offset, +length) of a file full of 0xab, and nothing else; keeps or frees the space. */
static void check_zeroes(const char *where, uint64_t offset, uint64_t length, bool punch)
{
    struct cw_disk_file file;
    const size_t size = 2 * CW_MIB;
    uint8_t *all = aligned_alloc(4096, size);
    assert_non_null(all);
    open_fresh(&file, where, size, CW_DISK_RESERVE);
    memset(all, 0xab, size);
    assert_int_equal(cw_disk_pwrite(&file, all, size, 0), CW_OK);
    assert_int_equal(cw_disk_sync(&file), CW_OK);
    assert_int_equal(sync_zeroes(&file, offset, length, punch), 0);
    assert_int_equal(cw_disk_pread(&file, all, size, 0), CW_OK);
    for (size_t i = 0; i < size; i++) {
        uint8_t expected = i >= offset && i < offset + length ? 0 : 0xab;
        if (all[i] != expected)
            fail_msg("byte %zu is %#x", i, all[i]);
    }
    if (punch && file.can_punch && length >= CW_MIB)
        assert_true(blocks_of(file.path) <= size - length + 8192);
    else if (!punch)
        assert_true(blocks_of(file.path) >= size);
    free(all);
    close_and_remove(&file);
}

static void zeroes_exactly_the_extent(void **state)
{
    const char *where[] = {folder, small_folder};
    for (unsigned i = 0; i < 1u + has_small; i++) {
        check_zeroes(where[i], 0, 2 * CW_MIB, false);
        check_zeroes(where[i], 4096, CW_MIB, false);
        check_zeroes(where[i], 4096, CW_MIB, true);
        check_zeroes(where[i], 512, 512, false);
        check_zeroes(where[i], 1000, 300001, false);
        check_zeroes(where[i], 100 * 1024, 100 * 1024, true);
        check_zeroes(where[i], 7, 9, true);
    }
}

static void zeroes_by_writing_when_nothing_else_works(void **state)
{
    struct cw_disk_file file;
    static _Alignas(4096) uint8_t data[CW_MIB];
    open_fresh(&file, folder, CW_MIB, CW_DISK_RESERVE);
    file.can_punch = file.can_zero_range = false;
    memset(data, 1, sizeof data);
    assert_int_equal(cw_disk_pwrite(&file, data, sizeof data, 0), CW_OK);
    assert_int_equal(sync_zeroes(&file, 3 * 512, CW_MIB - 3 * 512, true), 0);
    assert_int_equal(cw_disk_pread(&file, data, sizeof data, 0), CW_OK);
    for (size_t i = 0; i < sizeof data; i++)
        assert_int_equal(data[i], i < 3 * 512);
    close_and_remove(&file);
}

static void extents_tell_data_from_holes(void **state)
{
    struct cw_disk_file file;
    bool is_zero = false;
    static _Alignas(4096) uint8_t data[65536];
    memset(data, 1, sizeof data);
    open_fresh(&file, folder, CW_MIB, CW_DISK_THIN);
    assert_int_equal(cw_disk_extent(&file, 0, CW_MIB, &is_zero), CW_MIB);
    assert_true(is_zero);
    assert_int_equal(cw_disk_pwrite(&file, data, sizeof data, 256 * 1024), CW_OK);
    assert_int_equal(cw_disk_sync(&file), CW_OK);
    assert_int_equal(cw_disk_extent(&file, 0, CW_MIB, &is_zero), 256 * 1024);
    assert_true(is_zero);
    assert_int_equal(cw_disk_extent(&file, 256 * 1024, CW_MIB - 256 * 1024, &is_zero), 65536);
    assert_false(is_zero);
    assert_int_equal(cw_disk_extent(&file, 256 * 1024 + 512, 1024, &is_zero), 1024);
    assert_false(is_zero);
    assert_int_equal(cw_disk_extent(&file, 320 * 1024, CW_MIB - 320 * 1024, &is_zero), CW_MIB - 320 * 1024);
    assert_true(is_zero);
    close_and_remove(&file);
}

static void faults_strike_when_told(void **state)
{
    struct cw_disk_file file;
    static _Alignas(4096) uint8_t data[4096], in[4096];
    struct cw_disk_fault fault = {.write_errno = ENOSPC, .after_writes = 2};
    open_fresh(&file, folder, CW_MIB, CW_DISK_RESERVE);
    file.fault = &fault;
    memset(data, 9, sizeof data);
    assert_int_equal(sync_write(&file, data, 4096, 0), 4096);
    assert_int_equal(cw_disk_pwrite(&file, data, 4096, 4096), CW_OK);
    assert_int_equal(sync_write(&file, data, 4096, 8192), -ENOSPC);
    assert_int_equal(cw_disk_pwrite(&file, data, 4096, 8192), CW_NO_SPACE);
    assert_int_equal(sync_zeroes(&file, 0, 4096, false), -ENOSPC);
    assert_int_equal(sync_zeroes(&file, 0, CW_MIB, true), -ENOSPC);
    assert_int_equal(fault.hits, 4);
    assert_int_equal(sync_read(&file, in, 4096, 8192), 4096);
    for (size_t i = 0; i < sizeof in; i++)
        assert_int_equal(in[i], 0); /* the failed writes left the medium alone */
    fault = (struct cw_disk_fault){.read_errno = EIO, .sync_errno = EIO, .after_syncs = 1};
    assert_int_equal(sync_read(&file, in, 4096, 0), -EIO);
    assert_int_equal(cw_disk_sync(&file), CW_OK);
    struct waiting waiting = {.op = {.done = on_done}};
    cw_disk_fdatasync(&uring, &file, &waiting.op);
    assert_int_equal(wait_for(&waiting), -EIO);
    fault = (struct cw_disk_fault){0};
    assert_int_equal(sync_read(&file, in, 4096, 0), 4096);
    assert_memory_equal(in, data, 4096);
    close_and_remove(&file);
}

static int before_all(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cw-disk-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(small_folder, sizeof small_folder, "%s-small", folder);
    if (mkdir(small_folder, 0700) < 0)
        return -1;
    has_small = mount("tmpfs", small_folder, "tmpfs", 0, "size=4m") == 0;
    return cw_uring_init(&uring, 16, why, sizeof why) == CW_OK ? 0 : -1;
}

static int after_all(void **state)
{
    cw_uring_fini(&uring);
    if (has_small)
        umount2(small_folder, MNT_DETACH);
    rmdir(small_folder);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_with_all_its_space),
        cmocka_unit_test(full_disk_refuses_and_leaves_nothing),
        cmocka_unit_test(second_opener_is_refused),
        cmocka_unit_test(transfers_of_any_alignment),
        cmocka_unit_test(no_room_is_told_from_a_broken_disk),
        cmocka_unit_test(zeroes_exactly_the_extent),
        cmocka_unit_test(zeroes_by_writing_when_nothing_else_works),
        cmocka_unit_test(extents_tell_data_from_holes),
        cmocka_unit_test(faults_strike_when_told),
    };
    return cmocka_run_group_tests_name("io/disk", tests, before_all, after_all);
}
