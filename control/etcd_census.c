/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/etcd_census.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/etcd_format.h"

#define MEMBERS_MAX 16u
#define HOSTS_MAX   6u
#define HOST_SIZE   80u
#define STALE_MS    (4 * CW_CENSUS_MS) /* what it said of itself so long ago counts no more */

struct member {
    uint64_t id;
    char name[64];
    uint32_t host_count;
    char hosts[HOSTS_MAX][HOST_SIZE];
};

struct answer {
    uint64_t id, at_ms; /* at_ms 0: never */
    bool is_full;       /* it says that the alarm NOSPACE is raised */
};

struct cw_census {
    struct cw_etcd_address address;
    uint32_t client_count;
    struct cw_etcd *clients[CW_ETCD_ENDPOINTS_MAX]; /* the thread's, one an endpoint */
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t stopping;
    bool is_stopping;
    uint64_t listed_ms; /* 0: never */
    uint32_t member_count;
    struct member members[MEMBERS_MAX];
    struct answer answers[CW_ETCD_ENDPOINTS_MAX]; /* who answered last at each endpoint */
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool cw_census_host(const char *url, char *host, size_t size)
{
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    size_t length;
    if (*from == '[') {
        from++;
        length = strcspn(from, "]");
        if (from[length] != ']')
            return false;
    } else {
        length = strcspn(from, ":/");
    }
    if (length == 0 || length >= size)
        return false;
    memcpy(host, from, length);
    host[length] = 0;
    return true;
}

static void add_host(struct member *member, const char *url)
{
    char host[HOST_SIZE];
    if (!cw_census_host(url, host, sizeof host) || member->host_count == HOSTS_MAX)
        return;
    for (uint32_t i = 0; i < member->host_count; i++) {
        if (strcmp(member->hosts[i], host) == 0)
            return;
    }
    memcpy(member->hosts[member->host_count++], host, sizeof host);
}

static void add_hosts(struct member *member, const json_t *urls)
{
    size_t index;
    json_t *url;
    json_array_foreach(urls, index, url)
    {
        if (json_is_string(url))
            add_host(member, json_string_value(url));
    }
}

/* ---------------------------------------------------------------- asking */

static uint32_t read_members(const json_t *answer, struct member members[MEMBERS_MAX])
{
    uint32_t count = 0;
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(answer, "members"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        struct member member = {0};
        if (json_is_true(json_object_get(entry, "isLearner")) || count == MEMBERS_MAX ||
            !cw_etcd_number(entry, "ID", &member.id) || member.id == 0)
            continue;
        snprintf(member.name, sizeof member.name, "%s", name ? name : "");
        add_hosts(&member, json_object_get(entry, "clientURLs"));
        add_hosts(&member, json_object_get(entry, "peerURLs"));
        members[count++] = member;
    }
    return count;
}

static bool ask_members(struct cw_census *census, struct cw_etcd *client)
{
    struct member members[MEMBERS_MAX];
    json_t *answer = NULL;
    if (cw_etcd_call(client, "/v3/cluster/member/list", json_object(), CW_ETCD_ATTEMPT_MS, &answer) !=
        CW_ETCD_DONE)
        return false;
    uint32_t count = read_members(answer, members);
    json_decref(answer);
    if (count == 0)
        return false;
    pthread_mutex_lock(&census->lock);
    memcpy(census->members, members, sizeof members);
    census->member_count = count;
    census->listed_ms = monotonic_ms();
    pthread_mutex_unlock(&census->lock);
    return true;
}

/* Alarms are of the whole cluster, and every member tells them: "memberID:1234 alarm:NOSPACE ". */
static bool has_no_space(const json_t *answer)
{
    size_t index;
    json_t *error;
    json_array_foreach(json_object_get(answer, "errors"), index, error)
    {
        if (json_is_string(error) && strstr(json_string_value(error), "NOSPACE"))
            return true;
    }
    return false;
}

/* Who is it, and does it follow a leader? */
static bool ask_status(struct cw_census *census, uint32_t endpoint)
{
    json_t *answer = NULL;
    uint64_t id = 0, leader = 0;
    if (cw_etcd_call(census->clients[endpoint], "/v3/maintenance/status", json_object(), CW_ETCD_ATTEMPT_MS,
                     &answer) != CW_ETCD_DONE)
        return false;
    bool ok = cw_etcd_number(json_object_get(answer, "header"), "member_id", &id) && id != 0 &&
              cw_etcd_number(answer, "leader", &leader) && leader != 0;
    bool is_full = has_no_space(answer);
    json_decref(answer);
    if (!ok)
        return false;
    pthread_mutex_lock(&census->lock);
    census->answers[endpoint] = (struct answer){.id = id, .at_ms = monotonic_ms(), .is_full = is_full};
    pthread_mutex_unlock(&census->lock);
    return true;
}

static bool is_over(struct cw_census *census)
{
    pthread_mutex_lock(&census->lock);
    bool is = census->is_stopping;
    pthread_mutex_unlock(&census->lock);
    return is;
}

static void ask_all(struct cw_census *census)
{
    bool is_listed = false;
    for (uint32_t i = 0; i < census->client_count && !is_over(census); i++) {
        bool is_there = ask_status(census, i);
        if (is_there && !is_listed)
            is_listed = ask_members(census, census->clients[i]);
    }
}

static void pause_until_next(struct cw_census *census)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CW_CENSUS_MS / 1000;
    pthread_mutex_lock(&census->lock);
    while (!census->is_stopping && pthread_cond_timedwait(&census->stopping, &census->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&census->lock);
}

static void *run(void *context)
{
    struct cw_census *census = context;
    while (!is_over(census)) {
        ask_all(census);
        pause_until_next(census);
    }
    return NULL;
}

/* ---------------------------------------------------------------- life */

static void free_all(struct cw_census *census)
{
    for (uint32_t i = 0; i < census->client_count; i++)
        cw_etcd_close(census->clients[i]);
    pthread_cond_destroy(&census->stopping);
    pthread_mutex_destroy(&census->lock);
    free(census);
}

static bool open_clients(struct cw_census *census)
{
    char why[CW_ETCD_WORDS_SIZE];
    for (uint32_t i = 0; i < census->address.count; i++) {
        struct cw_etcd_address one = census->address;
        one.count = 1;
        memmove(one.endpoints[0], one.endpoints[i], sizeof one.endpoints[0]);
        struct cw_etcd *client = cw_etcd_open(&one, why, sizeof why);
        if (!client)
            return false;
        census->clients[census->client_count++] = client;
    }
    return true;
}

static bool start_thread(struct cw_census *census)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the caller's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&census->thread, NULL, run, census) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

struct cw_census *cw_census_start(const struct cw_etcd_address *address)
{
    pthread_condattr_t attributes;
    struct cw_census *census = calloc(1, sizeof *census);
    if (!census)
        return NULL;
    census->address = *address;
    pthread_mutex_init(&census->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&census->stopping, &attributes);
    pthread_condattr_destroy(&attributes);
    if (open_clients(census) && start_thread(census))
        return census;
    free_all(census);
    return NULL;
}

void cw_census_stop(struct cw_census *census)
{
    if (!census)
        return;
    pthread_mutex_lock(&census->lock);
    census->is_stopping = true;
    pthread_cond_broadcast(&census->stopping);
    pthread_mutex_unlock(&census->lock);
    for (uint32_t i = 0; i < census->client_count; i++)
        cw_etcd_stop(census->clients[i]);
    pthread_join(census->thread, NULL);
    free_all(census);
}

/* ---------------------------------------------------------------- telling */

static double age_seconds(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms == 0 ? -1 : (double)(now_ms - at_ms) / 1e3;
}

/* With the lock. The host of the endpoint at which it answered is where it is, whatever it says of itself. */
static json_t *member_json(const struct cw_census *census, const struct member *listed, uint64_t now_ms)
{
    char id[24];
    uint64_t answered_ms = 0;
    struct member member = *listed;
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < census->client_count; i++) {
        const struct answer *answer = &census->answers[i];
        if (answer->at_ms == 0 || answer->id != member.id)
            continue;
        answered_ms = answer->at_ms > answered_ms ? answer->at_ms : answered_ms;
        add_host(&member, census->address.endpoints[i]);
    }
    for (uint32_t i = 0; i < member.host_count; i++)
        json_array_append_new(hosts, json_string(member.hosts[i]));
    snprintf(id, sizeof id, "%" PRIx64, member.id);
    return json_pack("{s:s,s:s,s:o,s:f}", "id", id, "name", member.name, "hosts", hosts, "age_seconds",
                     age_seconds(answered_ms, now_ms));
}

json_t *cw_census_json(struct cw_census *census)
{
    char own[24] = "";
    json_t *members = json_array();
    uint64_t now_ms = monotonic_ms();
    pthread_mutex_lock(&census->lock);
    for (uint32_t i = 0; i < census->member_count; i++)
        json_array_append_new(members, member_json(census, &census->members[i], now_ms));
    if (census->answers[0].at_ms != 0)
        snprintf(own, sizeof own, "%" PRIx64, census->answers[0].id);
    double age = age_seconds(census->listed_ms, now_ms);
    pthread_mutex_unlock(&census->lock);
    return json_pack("{s:f,s:s,s:o}", "age_seconds", age, "own", own, "members", members);
}

bool cw_census_is_full(struct cw_census *census, char *words, size_t size)
{
    const char *endpoint = NULL;
    uint64_t now_ms = monotonic_ms();
    pthread_mutex_lock(&census->lock);
    for (uint32_t i = 0; i < census->client_count && !endpoint; i++) {
        const struct answer *answer = &census->answers[i];
        if (answer->is_full && now_ms - answer->at_ms < STALE_MS)
            endpoint = census->address.endpoints[i];
    }
    pthread_mutex_unlock(&census->lock);
    if (endpoint)
        cw_etcd_say_no_space(words, size, endpoint);
    return endpoint != NULL;
}
