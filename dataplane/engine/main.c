/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * causeway-engine --config FILE [--check] [--version] [--help]
 *
 * Start: configuration, lock on the node's directory, DPDK, ports, one block of memory that everything is
 * carved from twice (first only counting), lcore threads, then the main thread is the control thread.
 * Stop: SIGTERM, SIGINT or engine.stop: groups close in order, front ends close, sessions say goodbye.
 * kill -9 at any instant is no different from power loss, and is what the journals are for.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/control.h"
#include "engine/config/prepared.h"
#include "engine/control_certificates.h"
#include "engine/leaks.h"
#include "engine/loops.h"
#include "engine/no_alloc.h"
#include "io/aead.h"
#include "io/key_log.h"

#define EAL_MEMORY_MB 256u /* and half as much again for each further net lcore */

static struct cw_engine engine;
static struct cw_net nets[CW_LANES_MAX];
static struct cw_store store;
static struct cw_control control;
static struct cw_loops loops;
static const struct cw_aead_ops *aead;
static struct cw_payload_memory *payloads = &store.payloads;

uint8_t cw_engine_site_id(const struct cw_engine *of, const char *name)
{
    for (uint32_t i = 0; i < of->config.site_count; i++) {
        if (strcmp(of->config.sites[i].name, name) == 0)
            return of->config.sites[i].id;
    }
    return CW_SITES_MAX;
}

uint8_t cw_engine_peer_site(const struct cw_engine *of, uint32_t peer)
{
    return cw_engine_site_id(of, of->config.paths[of->config.peers[peer].paths[0]].remote);
}

const char *cw_engine_site_name(const struct cw_engine *of, uint8_t id)
{
    for (uint32_t i = 0; i < of->config.site_count; i++) {
        if (of->config.sites[i].id == id)
            return of->config.sites[i].name;
    }
    return "?";
}

/* ---------------------------------------------------------------- what goes wrong */

#define LAST_ENTRIES 40u

/* Where every group stands and what came before, from whatever thread failed: other threads go on meanwhile,
 * which is good enough for the last words. */
static void last_words(void)
{
    fprintf(
        stderr,
        "causeway-engine: last words of site %s: turns %llu, ops free %u of %u, in flight in the ring %u\n",
        engine.config.site, (unsigned long long)cw_counter_read(&store.counters[CW_STORE_TURNS]),
        store.ops_free_count, CW_STORE_OPS, store.uring.in_flight);
    for (unsigned i = 0; i < CW_GROUPS_MAX; i++) {
        const struct cw_store_group *group = store.groups[i];
        if (group != NULL)
            fprintf(stderr, "  group %u %s: role %s, epoch %llu, requests %u, ops %u, sends %u\n", group->id,
                    group->name, cw_role_name(group->role), (unsigned long long)group->epoch, group->requests,
                    group->ops_in_flight, group->sends_in_flight);
    }
    uint64_t now_ns = cw_clock_now_ns();
    fprintf(stderr, "what the store did last (seconds before now, #group):\n");
    cw_trace_print(&store.trace, stderr, LAST_ENTRIES, now_ns);
    fprintf(stderr, "what its journals did last:\n");
    cw_trace_print(&store.disks, stderr, LAST_ENTRIES, now_ns);
    for (uint32_t lane = 0; lane < engine.config.lane_count; lane++) {
        fprintf(stderr, "what the network did last (lane %u):\n", lane);
        cw_trace_print(&nets[lane].trace, stderr, LAST_ENTRIES, now_ns);
    }
}

static void on_fault(int number)
{
    static const char text[] = "causeway-engine: a fault that is ours: ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    last_words();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void watch_faults(void)
{
    static uint8_t stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    (void)sigaltstack(&alternate, NULL);
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    cw_panic_hook_set(last_words);
}

/* ---------------------------------------------------------------- descriptors */

/* What all that a node may serve needs: a client each; of a volume its file, twice (with and without
 * O_DIRECT), the file that it is copied into, its socket, and a socket that is still closing; of a group its
 * journal. The rest is DPDK's, the rings', the control sockets' and of what jobs open for a moment. */
#define DESCRIPTORS_OF_VOLUME 6u
#define DESCRIPTORS_OF_GROUP  4u
#define DESCRIPTORS_OTHER     256u
#define DESCRIPTORS                                                                                          \
    (CW_NODE_CLIENTS_MAX + DESCRIPTORS_OF_VOLUME * CW_NODE_EXPORTS_MAX +                                     \
     DESCRIPTORS_OF_GROUP * CW_GROUPS_MAX + DESCRIPTORS_OTHER)
static_assert(CW_GROUPS_MAX <= CW_NODE_GROUPS_MAX, "control gives a node as many as its engine takes");
static_assert(DESCRIPTORS <= 4096, "the hard limit that Linux gives by itself");

static enum cw_status raise_descriptors(char *why, size_t why_size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return CW_OK;
    unsigned long long soft = limit.rlim_cur, hard = limit.rlim_max;
    limit.rlim_cur = DESCRIPTORS;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_max = limit.rlim_cur; /* who has the right to may */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return CW_OK;
    snprintf(
        why, why_size,
        "%u open files are needed (%u NBD clients, %u volumes) and the limit is %llu, at most %llu: raise "
        "the hard limit (LimitNOFILE= of the unit, or ulimit -Hn)",
        DESCRIPTORS, CW_NODE_CLIENTS_MAX, CW_NODE_EXPORTS_MAX, soft, hard);
    return CW_REFUSED;
}

/* ---------------------------------------------------------------- identity */

static bool read_boot_id(uint64_t id[2])
{
    char text[64] = "", digits[33];
    size_t count = 0;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL)
        return false;
    bool is_read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    for (const char *at = text; is_read && *at != 0 && count < 32; at++) {
        if (*at != '-' && *at != '\n')
            digits[count++] = *at;
    }
    digits[count] = 0;
    return count == 32 && sscanf(digits, "%16lx%16lx", &id[0], &id[1]) == 2;
}

static enum cw_status make_identity(char *why, size_t why_size)
{
    if (!read_boot_id(engine.boot_id) || getrandom(&engine.process_start, sizeof engine.process_start, 0) !=
                                             (ssize_t)sizeof engine.process_start) {
        snprintf(why, why_size, "/proc/sys/kernel/random/boot_id cannot be read: is /proc mounted?");
        return CW_IO;
    }
    engine.process_start |= 1; /* 0 stands for unknown */
    return CW_OK;
}

/* Held until the process ends. A predecessor that was killed keeps its lock until the kernel has put its
 * memory and rings away, which takes a moment: it is waited for. */
#define LOCK_WAIT_MS 3000
static enum cw_status lock_directory(const char *directory, char *why, size_t why_size)
{
    char path[CW_CONFIG_PATH_SIZE + 16];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    (void)mkdir(directory, 0700);
    (void)mkdir(engine.config.storage, 0700);
    snprintf(path, sizeof path, "%s/engine.lock", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return CW_IO;
    }
    for (int waited_ms = 0; waited_ms < LOCK_WAIT_MS; waited_ms += 20) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return CW_OK;
        usleep(20 * 1000);
    }
    snprintf(why, why_size, "another engine holds %s: stop that one first", path);
    close(fd);
    return CW_REFUSED;
}

/* ---------------------------------------------------------------- memory */

#define KEY_LOG_VARIABLE "CAUSEWAY_KEY_LOG"

/* A release has no code that writes keys; it says so to who asks for it. */
static enum cw_status choose_aead(char *why, size_t why_size)
{
    const char *file = getenv(KEY_LOG_VARIABLE);
    aead = cw_aead_ipsecmb();
    if (file == NULL || *file == 0)
        return CW_OK;
#ifdef CW_KEY_LOG
    enum cw_status status = cw_key_log_open(file, why, why_size);
    if (status != CW_OK)
        return status;
    fprintf(stderr, "causeway-engine: EVERY TRAFFIC KEY is written to %s\n", file);
    aead = cw_key_log_over(aead);
    return CW_OK;
#else
    snprintf(why, why_size, "%s is set, and this engine was built without -Dkey_log=true: unset it",
             KEY_LOG_VARIABLE);
    return CW_REFUSED;
#endif
}

static void carve_lane(struct cw_arena *arena, uint32_t index)
{
    struct cw_engine_lane *lane = &engine.lanes[index];
    cw_ring_init(&lane->to_net, arena, CW_NET_RING, sizeof(struct cw_to_net));
    cw_ring_init(&lane->large_heads, arena, CW_LARGE_HEAD_RING, CW_MESSAGE_HEAD_MAX);
    cw_ring_init(&lane->from_net, arena, CW_NET_RING, sizeof(struct cw_from_net));
    if (engine.config.security.has_certificates) {
        cw_ring_init(&lane->questions, arena, CW_AUTH_RING, sizeof(struct cw_net_question));
        cw_ring_init(&lane->verdicts, arena, CW_AUTH_RING, sizeof(struct cw_net_verdict));
    }
    cw_net_init(lane->net, arena, aead, cw_clock_now_ns());
}

/* Everything that lives as long as the process, in one fixed order. */
static enum cw_status carve(struct cw_arena *arena, char *why, size_t why_size)
{
    uint32_t counts[CW_CLASS_COUNT], received = 0;
    cw_net_receive_counts(&engine.config, counts);
    for (unsigned c = 0; c < CW_CLASS_COUNT; c++)
        received += counts[c] * engine.config.peer_count * engine.config.lane_count;
    cw_ring_init(&engine.commands, arena, CW_MAIL_RING, sizeof(struct cw_command *));
    cw_ring_init(&engine.mails, arena, CW_MAIL_RING, sizeof(struct cw_mail));
    for (uint32_t lane = 0; lane < engine.config.lane_count; lane++)
        carve_lane(arena, lane);
    return cw_store_init(&store, &engine, arena, received, why, why_size);
}

static void register_memory(void)
{
    struct iovec blocks[1 + CW_PEERS_MAX * CW_LANES_MAX];
    uint32_t count = 0;
    blocks[count++] = (struct iovec){.iov_base = payloads->block, .iov_len = payloads->block_size};
    for (uint32_t i = 0; i < engine.config.peer_count * engine.config.lane_count; i++) {
        const struct cw_net *net = &nets[i % engine.config.lane_count];
        void *memory;
        size_t length;
        cw_session_receive_memory(net->peers[i / engine.config.lane_count].session, &memory, &length);
        blocks[count++] = (struct iovec){.iov_base = memory, .iov_len = length};
    }
    cw_uring_register(&store.uring, blocks, count);
}

static enum cw_status make_memory(char *why, size_t why_size)
{
    struct cw_arena arena;
    if ((uint64_t)engine.config.payload_mb * CW_MIB < cw_payload_memory_bytes_min()) {
        snprintf(why, why_size, "memory.payload_mb is %u and must be at least %llu", engine.config.payload_mb,
                 (unsigned long long)(cw_payload_memory_bytes_min() / CW_MIB));
        return CW_INVALID;
    }
    cw_arena_measure(&arena);
    enum cw_status status = carve(&arena, why, why_size);
    if (status != CW_OK)
        return status;
    size_t size = cw_round_up(arena.used, 4096);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        snprintf(why, why_size,
                 "%zu bytes of memory are not to be had: lower memory.payload_mb or receive_mb", size);
        return CW_NO_SPACE;
    }
    cw_leaks_root(memory, size);
    cw_arena_init(&arena, memory, size);
    (void)madvise(memory, size, MADV_DONTDUMP); /* a core has no need of keys and of what clients wrote */
    status = carve(&arena, why, why_size);
    cw_arena_seal(&arena);
    explicit_bzero(engine.config.cluster_key, sizeof engine.config.cluster_key); /* the sessions have it */
    engine.memory_bytes = size;
    if (status == CW_OK)
        register_memory();
    return status;
}

/* ---------------------------------------------------------------- starting */

static enum cw_status start_dpdk(char *why, size_t why_size)
{
    static struct cw_port_config ports[CW_PATHS_MAX];
    struct cw_eal_config eal = {.may_use_hugepages = true, .ports = ports, .siblings = "causeway-"};
    eal.memory_mb = EAL_MEMORY_MB * (engine.config.lane_count + 1) / 2;
    for (uint32_t i = 0; i < engine.config.path_count; i++)
        cw_net_port_config(&engine.config, i, &ports[eal.port_count++]);
    /* The same at every start of this node, so that it starts only once; another in every other directory, so that
     * labs do not meet. What kill -9 left behind is removed by the next engine of this machine. */
    uint64_t place = cw_hash64(engine.config.directory, strlen(engine.config.directory));
    snprintf(eal.file_prefix, sizeof eal.file_prefix, "causeway-%s-%08x", engine.config.site,
             (unsigned)place);
    snprintf(eal.lcores, sizeof eal.lcores, "0@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    enum cw_status status = cw_eal_start(&eal, why, why_size);
    for (uint32_t lane = 0; lane < engine.config.lane_count && status == CW_OK; lane++)
        status = cw_net_open_ports(&nets[lane], &engine, lane, why, why_size);
    return status;
}

static enum cw_status start(char *why, size_t why_size)
{
    engine.store = &store;
    engine.started_ns = cw_clock_now_ns();
    engine.control_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (uint32_t lane = 0; lane < engine.config.lane_count; lane++) {
        engine.lanes[lane].net = &nets[lane];
        nets[lane].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    enum cw_status status = choose_aead(why, why_size);
    if (status == CW_OK)
        status = raise_descriptors(why, why_size);
    if (status == CW_OK)
        status = lock_directory(engine.config.directory, why, why_size);
    if (status == CW_OK)
        status = make_identity(why, why_size);
    if (status == CW_OK)
        status = start_dpdk(why, why_size);
    if (status == CW_OK)
        status = make_memory(why, why_size);
    if (status == CW_OK)
        status = cw_control_init(&control, &engine, why, why_size);
    if (status == CW_OK)
        status = cw_loops_start(&loops, &engine, why, why_size);
    return status;
}

/* What `causeway nic apply` has told of prepared paths, and whether the cards are still as it left them. */
static bool find_prepared(const char *file)
{
    static struct cw_prepared_path prepared[CW_CONFIG_PATHS_MAX];
    static char said[8192];
    bool is_good = cw_prepared_load(&engine.config, file, prepared, said, sizeof said) == CW_OK;
    if (!is_good)
        fprintf(stderr, "%s\n", said);
    if (cw_prepared_advise(&engine.config, prepared, file, said, sizeof said))
        fprintf(stderr, "%s\n", said);
    if (cw_prepared_look(&engine.config, prepared, "/sys", said, sizeof said) == CW_OK)
        return is_good;
    fprintf(stderr, "%s\n", said);
    return false;
}

/* Also what stands in the files of certificates and of prepared paths. */
static int check_configuration(const char *file)
{
    static struct cw_config_mistakes mistakes;
    char why[512] = "";
    if (cw_node_config_load(file, &engine.config, &mistakes) != CW_OK)
        return cw_node_config_check_main(file);
    bool is_good = cw_auth_check(&engine.config, why, sizeof why);
    if (why[0] != 0)
        fprintf(stderr, "%s:%s\n", file, why);
    is_good = find_prepared(file) && is_good;
    return is_good ? cw_node_config_check_main(file) : 1;
}

static int run_engine(const char *file)
{
    static struct cw_config_mistakes mistakes;
    char why[512] = "";
    if (cw_node_config_load(file, &engine.config, &mistakes) != CW_OK) {
        cw_config_mistakes_print(stderr, file, &mistakes);
        return 2;
    }
    if (!find_prepared(file))
        return 1;
    if (start(why, sizeof why) != CW_OK) {
        fprintf(stderr, "causeway-engine: %s\n", why);
        cw_eal_stop();
        return 1;
    }
    cw_control_event(&control, 0, 0, "engine %s of site %s: %zu MiB, %s", CW_VERSION, engine.config.site,
                     engine.memory_bytes >> 20, cw_eal_has_hugepages() ? "hugepages" : "no hugepages");
    cw_control_run(&control);
    cw_loops_join(&loops);
    cw_control_fini(&control);
    /* Nothing of ours is open any more. Ports are left to the kernel: DPDK 22.11's memif frees what its own
     * interrupt thread still looks at, and an orderly stop must not end in a fault. */
    cw_leaks_check();
    cw_eal_stop();
    fflush(NULL);
    _exit(0);
}

/* ---------------------------------------------------------------- command line */

static void usage(FILE *to)
{
    fprintf(to,
            "usage: causeway-engine --config FILE [--check]\n"
            "  The data plane of one storage node. FILE is described in control/example-node.yaml.\n"
            "  --check    say whether FILE is good, and stop: exit 0, or 1 and what is wrong; also whether\n"
            "             the cards of its paths are there and as `causeway nic apply` has left them\n"
            "  --version  --help\n"
            "  One node serves %u volumes and %u NBD clients, %u of one volume; for these it needs a hard\n"
            "  limit of open files (ulimit -Hn, LimitNOFILE=) of %u.\n"
            "  SIGTERM ends it in order. It says on stderr what happens, and answers at engine.sock in\n"
            "  `directory:` of FILE, which causeway-control uses.\n"
            "Exit: 0 stopped in order, 1 failed, 2 wrong usage or configuration.\n",
            CW_NODE_EXPORTS_MAX, CW_NODE_CLIENTS_MAX, CW_VOLUME_CLIENTS_MAX, DESCRIPTORS);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *file = NULL;
    bool must_check = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 'k':
            must_check = true;
            break;
        case 'v':
            printf("causeway-engine %s\n", CW_VERSION);
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (file == NULL || optind < argc) {
        usage(stderr);
        return 2;
    }
    if (must_check)
        return check_configuration(file);
    setvbuf(stderr, NULL, _IOLBF, 0);
    cw_no_alloc_init();
    watch_faults();
    return run_engine(file);
}
