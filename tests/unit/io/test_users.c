/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who uses a card or an interface: this process itself, which opens what stands for a card's files, and real sockets and XDP
 * programs on a veth pair in a network namespace of its own. Under the name of one of our programs, and under another. Devices
 * of vfio are in made folders of /proc, /sys and /dev.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/sock_diag.h>
#include <linux/xdp_diag.h>

#include "base/numbers.h"
#include "io/users.h"

#define OURS   "causeway-engine"
#define OTHERS "somebody"
#define FRAMES 64u
#define FRAME  4096u

static char folder[64], words[512];
static bool has_space;

static void shell(const char *format, const char *what)
{
    char command[1024];
    snprintf(command, sizeof command, format, what, what, what, what);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static void called(const char *name)
{
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
}

static void expect_user(const char *name, const char *what)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s, process %d, %s", name, getpid(), what);
    assert_string_equal(words, wanted);
}

static bool asks(const char *interface)
{
    return cw_users_of_interface(interface, words, sizeof words);
}

static void nobody_has(const char *interface)
{
    if (asks(interface) || words[0] != 0)
        fail_msg("%s: %s", interface, words);
}

static void skip_without_space(void)
{
    if (has_space)
        return;
    print_message("skipped: no network and mounts of our own without root\n");
    skip();
}

/* ---------------------------------------------------------------- files of a card */

/* A file of /dev with this name and number, open. The numbers are those of memory devices, which do nothing when opened. */
static int open_device(const char *name, unsigned minor_number)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mknod(path, S_IFCHR | 0600, makedev(1, minor_number)) != 0) {
        print_message("skipped: no devices can be made here: %s\n", strerror(errno));
        skip();
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        print_message("skipped: no devices can be opened in %s: %s\n", folder, strerror(errno));
        skip();
    }
    return fd;
}

static void make_card(const char *kind, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/card/%s/%s", folder, kind, name);
    shell("mkdir -p %s && echo 1:3 > %s/dev", path);
}

static void a_card_that_is_open(void **state)
{
    static const struct {
        const char *kind, *name, *file;
    } cards[] = {{"uio", "uio7", "uio7"},
                 {"vfio-dev", "vfio4", "vfio4"},
                 {"infiniband_verbs", "uverbs2", "uverbs2"},
                 {"infiniband_verbs", "uverbs2", "uverbs_in_a_container"}};
    char card[96];
    snprintf(card, sizeof card, "%s/card", folder);
    called(OTHERS);
    for (size_t i = 0; i < CW_COUNT_OF(cards); i++) {
        shell("rm -rf %s/*", folder);
        make_card(cards[i].kind, cards[i].name);
        assert_false(cw_users_of_card(card, words, sizeof words));
        int fd = open_device(cards[i].file, 3);
        assert_true(cw_users_of_card(card, words, sizeof words));
        expect_user(OTHERS, "has it open");
        close(fd);
        assert_false(cw_users_of_card(card, words, sizeof words));
        assert_string_equal(words, "");
    }
}

/* Another card's, a file that has nothing to do with cards, and a card without files. */
static void another_file_is_open(void **state)
{
    char card[96];
    snprintf(card, sizeof card, "%s/card", folder);
    make_card("infiniband_verbs", "uverbs0");
    int other_card = open_device("uverbs1", 5), no_card = open_device("null", 3);
    assert_false(cw_users_of_card(card, words, sizeof words));
    shell("rm -r %s/card", folder);
    assert_false(cw_users_of_card(card, words, sizeof words));
    close(other_card);
    close(no_card);
}

/* The engine has no socket on a card that it shares with the kernel's driver. */
static void an_interface_whose_card_is_open(void **state)
{
    char link[160];
    skip_without_space();
    make_card("infiniband_verbs", "uverbs0");
    int fd = open_device("uverbs0", 3);
    snprintf(link, sizeof link, "ln -s %s/card /sys/class/net/v0/device", folder);
    assert_int_equal(mount("none", "/sys", "tmpfs", 0, NULL), 0);
    shell("mkdir -p /sys/class/net/v0 && %s", link);
    bool is_used = asks("v0");
    assert_int_equal(umount("/sys"), 0);
    assert_true(is_used);
    expect_user(OTHERS, "has it open");
    close(fd);
    nobody_has("v0");
}

/* ---------------------------------------------------------------- sockets */

static int packet_socket(const char *interface)
{
    struct sockaddr_ll where = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(ETH_P_ALL),
                                .sll_ifindex = (int)if_nametoindex(interface)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

static void a_packet_socket(void **state)
{
    skip_without_space();
    nobody_has("v0");
    int fd = packet_socket("v0");
    nobody_has("v0"); /* tcpdump is no engine */
    called(OURS);
    assert_true(asks("v0"));
    expect_user(OURS, "has a port on it");
    nobody_has("v1");
    nobody_has("v9");
    close(fd);
    nobody_has("v0");
}

static int xdp_link(const char *interface)
{
    const struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 2},
                                    {.code = BPF_JMP | BPF_EXIT}};
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "test", "GPL", pass, CW_COUNT_OF(pass), NULL);
    int link = program < 0 ? -1 : bpf_link_create(program, (int)if_nametoindex(interface), BPF_XDP, NULL);
    if (program >= 0)
        close(program);
    return link;
}

static void skip_without_link(int link)
{
    if (link >= 0)
        return;
    print_message("skipped: no XDP program can be fixed to an interface here: %s\n", strerror(errno));
    skip();
}

static void an_xdp_program(void **state)
{
    skip_without_space();
    int link = xdp_link("v0");
    skip_without_link(link);
    nobody_has("v0");
    called(OURS);
    assert_true(asks("v0"));
    expect_user(OURS, "has a port on it");
    nobody_has("v1");
    close(link);
    nobody_has("v0");
}

/* An engine in another network namespace, on an interface of the same number: each has a first one, lo. */
static void an_xdp_program_elsewhere(void **state)
{
    int ready[2];
    char made = 'n';
    skip_without_space();
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        called(OURS);
        char is_made = unshare(CLONE_NEWNET) == 0 && xdp_link("lo") >= 0 ? 'y' : 'n';
        if (write(ready[1], &is_made, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &made, 1), 1);
    bool is_used = asks("lo");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    skip_without_link(made == 'y' ? 0 : -1);
    assert_false(is_used);
}

/* Bound to the first queue, with memory of its own; -1: not here. */
static int xdp_socket(const char *interface, void **memory)
{
    uint32_t entries = FRAMES;
    struct sockaddr_xdp where = {
        .sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY, .sxdp_ifindex = if_nametoindex(interface)};
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    *memory = mmap(NULL, FRAMES * FRAME, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct xdp_umem_reg umem = {
        .addr = (uintptr_t)*memory, .len = FRAMES * FRAME, .chunk_size = FRAME, .headroom = 0};
    if (fd >= 0 && setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem) == 0 &&
        setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries, sizeof entries) == 0 &&
        setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries, sizeof entries) == 0 &&
        setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof entries) == 0 &&
        bind(fd, (struct sockaddr *)&where, sizeof where) == 0)
        return fd;
    print_message("skipped: no AF_XDP socket can be had here: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
    munmap(*memory, FRAMES * FRAME);
    return -1;
}

/* Where the kernel does not tell whose it is, that is said, and nobody is blamed. */
static void an_xdp_socket(void **state)
{
    void *memory;
    skip_without_space();
    nobody_has("v0");
    int fd = xdp_socket("v0", &memory);
    if (fd < 0)
        skip();
    bool is_used = asks("v0");
    if (is_used) {
        expect_user(OTHERS, "has an AF_XDP socket on it");
        nobody_has("v1");
    } else {
        print_message("skipped: this kernel does not tell of AF_XDP sockets\n");
        assert_string_equal(words, "whether a program has an AF_XDP socket on v0 is not known: there "
                                   "are some, and the kernel does not tell where (it has no xdp_diag)");
    }
    close(fd);
    munmap(memory, FRAMES * FRAME);
    nobody_has("v0");
}

/* ---------------------------------------------------------------- what the kernel answers about AF_XDP sockets */

struct about {
    struct nlmsghdr head;
    struct xdp_diag_msg body;
    struct rtattr attribute;
    struct xdp_diag_info info;
};

static struct about about(uint32_t inode, uint32_t interface)
{
    return (struct about){
        .head = {.nlmsg_len = sizeof(struct about), .nlmsg_type = SOCK_DIAG_BY_FAMILY},
        .body = {.xdiag_family = AF_XDP, .xdiag_type = SOCK_RAW, .xdiag_ino = inode},
        .attribute = {.rta_len = RTA_LENGTH(sizeof(struct xdp_diag_info)), .rta_type = XDP_DIAG_INFO},
        .info = {.ifindex = interface},
    };
}

static void answers_of_the_kernel(void **state)
{
    struct about answer[] = {about(71, 4), about(72, 5), about(73, 4), about(74, 4)};
    unsigned long inodes[2] = {0, 0};
    unsigned count = 0;
    answer[0].attribute.rta_type = XDP_DIAG_UID; /* of one that is bound to nothing */
    assert_int_equal(cw_users_take_sockets(answer, sizeof answer, 4, inodes, 2, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(inodes[0], 73);
    assert_int_equal(inodes[1], 74);
    assert_int_equal(cw_users_take_sockets(answer, sizeof answer, 4, inodes, 2, &count), 0);
    assert_int_equal(count, 2); /* no room for more */
    struct nlmsghdr done = {.nlmsg_len = sizeof done, .nlmsg_type = NLMSG_DONE};
    assert_int_equal(cw_users_take_sockets(&done, sizeof done, 4, inodes, 2, &count), 1);
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
    } refusal = {{.nlmsg_len = sizeof refusal, .nlmsg_type = NLMSG_ERROR}, {.error = -ENOENT}};
    assert_int_equal(cw_users_take_sockets(&refusal, sizeof refusal, 4, inodes, 2, &count), -ENOENT);
}

static void nonsense_of_the_kernel(void **state)
{
    struct about one = about(71, 4);
    unsigned long inodes[2] = {0, 0};
    unsigned count = 0;
    for (size_t length = 1; length < sizeof one; length++) {
        struct nlmsghdr *part = malloc(length); /* what reads beyond its end is seen by ASan */
        assert_non_null(part);
        memcpy(part, &one, length);
        assert_int_equal(cw_users_take_sockets(part, length, 4, inodes, 2, &count), -EPROTO);
        if (length >= sizeof *part) {
            part->nlmsg_len = (uint32_t)length;
            (void)cw_users_take_sockets(part, length, 4, inodes, 2, &count);
        }
        free(part);
    }
    assert_int_equal(count, 0);
    one.head.nlmsg_type = 99;
    assert_int_equal(cw_users_take_sockets(&one, sizeof one, 4, inodes, 2, &count), -EPROTO);
    one.head.nlmsg_type = NLMSG_ERROR; /* of no error */
    one.head.nlmsg_len = sizeof one.head;
    assert_int_equal(cw_users_take_sockets(&one, sizeof one.head, 4, inodes, 2, &count), -EPROTO);
}

static int after_each(void **state)
{
    shell("rm -rf %s/*", folder);
    return 0;
}

/* ---------------------------------------------------------------- devices of vfio without their files */

#define CARD     "/sys/bus/pci/devices/0000:00:03.0"
#define OF_CARD  "/sys/devices/pci0000:00/0000:00:03.0"
#define BESIDE   "/sys/devices/pci0000:00/0000:00:03.1" /* in its group */
#define ANOTHER  "/sys/devices/pci0000:00/0000:00:04.0"
#define UNTOLD   "qemu-kvm, process 812"
#define OF_WHICH "has a device of vfio open, this kernel does not tell of which card"

static const char machine[] =
    "mkdir -p /sys/bus/pci/devices /sys/kernel/iommu_groups/17 /sys/kernel/iommu_groups/18 /dev/vfio " OF_CARD
    " " BESIDE " " ANOTHER "; ln -s " OF_CARD " /sys/bus/pci/devices/;"
    "ln -s ../../../kernel/iommu_groups/17 " OF_CARD "/iommu_group;"
    "ln -s ../../../kernel/iommu_groups/17 " BESIDE "/iommu_group;"
    "ln -s ../../../kernel/iommu_groups/18 " ANOTHER "/iommu_group;"
    "for i in 17 18; do mkdir -p /sys/class/vfio/$i; echo 511:$i > /sys/class/vfio/$i/dev; done";

/* As the kernel shows it: a device of vfio, of this card (NULL: an older kernel, which does not tell). */
static void open_of_vfio(unsigned process, const char *name, const char *card)
{
    char script[768];
    snprintf(
        script, sizeof script,
        "p=/proc/%u; mkdir -p $p/fd $p/fdinfo; echo '%s' > $p/comm; ln -s 'anon_inode:[vfio-device]' $p/fd/7;"
        "printf 'pos:\\t0\\nflags:\\t02000002\\n%s%s\\n' > $p/fdinfo/7",
        process, name, card != NULL ? "vfio-device-syspath: " : "", card != NULL ? card : "ino:\t2145");
    shell("%s", script);
}

static void skip_without_made_folders(void)
{
    skip_without_space();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(mount("none", (const char *const[]){"/proc", "/sys", "/dev"}[i], "tmpfs", 0, NULL),
                         0);
    shell("%s", machine);
}

static int away_with_made_folders(void **state)
{
    (void)umount("/dev");
    (void)umount("/sys");
    (void)umount("/proc");
    return after_each(state);
}

static void expect_words(bool is_used, const char *wanted)
{
    if (cw_users_of_card(CARD, words, sizeof words) != is_used || strcmp(words, wanted) != 0)
        fail_msg("not \"%s\", but \"%s\"", wanted, words);
}

/* By a kernel that tells of which card it is. */
static void a_device_that_is_told(void **state)
{
    skip_without_made_folders();
    expect_words(false, "");
    open_of_vfio(812, "qemu-kvm", ANOTHER);
    expect_words(false, "");
    open_of_vfio(900, "testpmd", BESIDE);
    expect_words(true, "testpmd, process 900, has another card of its IOMMU group open");
    shell("%s", "rm -r /proc/900");
    open_of_vfio(900, "testpmd", OF_CARD);
    expect_words(true, "testpmd, process 900, has it open");
}

/* By one that does not, where nobody can ask the group either. */
static void a_device_that_is_not_told(void **state)
{
    static const char may_be[] = "it may be open, and /dev/vfio/17, which would show that, cannot be opened "
                                 "(No such file or directory); who " OF_WHICH ": " UNTOLD;
    skip_without_made_folders();
    open_of_vfio(812, "qemu-kvm", NULL);
    shell("%s", "ln -s /dev/vfio/vfio /proc/812/fd/5"); /* which all users of vfio have */
    expect_words(true, may_be);
    open_of_vfio(900, "testpmd", NULL);
    assert_true(cw_users_of_card(CARD, words, sizeof words));
    assert_non_null(strstr(words, "qemu-kvm, process 812"));
    assert_non_null(strstr(words, "testpmd, process 900"));
    shell("%s", "ln -s /dev/vfio/18 /proc/900/fd/6"); /* the group that its device is of */
    expect_words(true, may_be);
    shell("%s", "touch /dev/vfio/17"); /* it can be opened: nobody has anything of it */
    expect_words(false, "");
    shell("%s", "rm -r /dev/vfio/17 /sys/class/vfio/17"); /* the card is not driven by vfio */
    expect_words(false, "");
}

/* Whoever opens a file to read and to write is told that it is busy. */
static void make_files_busy(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_RDWR, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = CW_COUNT_OF(steps), .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(3);
}

/* In a process of its own, as what makes files busy cannot be taken away again. */
static void expect_of_busy_group(const char *wanted)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        make_files_busy();
        bool is_used = cw_users_of_card(CARD, words, sizeof words);
        _exit(is_used && strcmp(words, wanted) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_group_that_is_busy(void **state)
{
    skip_without_made_folders();
    shell("%s", "touch /dev/vfio/17");
    expect_of_busy_group("a process that cannot be seen from here has it open");
    open_of_vfio(812, "qemu-kvm", NULL);
    expect_of_busy_group("its IOMMU group is busy; who " OF_WHICH ": " UNTOLD);
}

static int before_each(void **state)
{
    called(OTHERS);
    return 0;
}

static int before_all(void **state)
{
    has_space =
        unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        system("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up") == 0;
    snprintf(folder, sizeof folder, "/tmp/cw-users-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int after_all(void **state)
{
    return rmdir(folder);
}

#define T(test) cmocka_unit_test_setup_teardown(test, before_each, after_each)
#define M(test) cmocka_unit_test_setup_teardown(test, before_each, away_with_made_folders)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_card_that_is_open),
        T(another_file_is_open),
        T(an_interface_whose_card_is_open),
        M(a_device_that_is_told),
        M(a_device_that_is_not_told),
        M(a_group_that_is_busy),
        T(a_packet_socket),
        T(an_xdp_program),
        T(an_xdp_program_elsewhere),
        T(an_xdp_socket),
        T(answers_of_the_kernel),
        T(nonsense_of_the_kernel),
    };
    return cmocka_run_group_tests_name("io/users", tests, before_all, after_all);
}
