/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine/control_certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "engine/clock.h"
#include "engine/loops.h"
#include "io/tls.h"

static_assert((int)CW_FILE_COUNT == (int)CW_CONFIG_SECURITY_FILES,
              "certificate, key, authority, revocations");

/* What one question may bring about: all that a handshake carries, and a verdict. */
#define VERDICTS_ROOM (16384u / CW_AUTH_CHUNK + 2)
static_assert(VERDICTS_ROOM + CW_PEERS_MAX < CW_AUTH_RING, "there is room sooner or later");

#define SEATS         (CW_LANES_MAX * CW_PEERS_MAX)
#define LOOK_NS       CW_SECOND
#define JUDGE_NS      (10 * CW_SECOND)
#define WARN_NS       (86400 * CW_SECOND)
#define TELL_NS       (60 * CW_SECOND) /* the same refusal again */
#define WAIT_SHORT_MS 5
#define PATH_WORDS    (8u + CW_CONFIG_PEER_PATHS_MAX * (CW_CONFIG_NAME_SIZE + 2u))

/* A peer that was believed, and by which attempt. */
struct believed {
    uint32_t attempt;
    struct cw_peer *peer; /* NULL: nobody */
};

/* Of one peer in one lane; in the functions below `index` is its seat: lane * CW_PEERS_MAX + peer. */
struct auth_peer {
    struct cw_tls *tls; /* NULL: no attempt */
    uint32_t attempt;
    bool is_keyed;
    struct believed judged, live;
    uint8_t told_reason; /* the last refusal that was told, and when */
    uint64_t told_ns;
};

/* Of the last change, also of the mode alone. */
struct stamp {
    int64_t seconds, nanoseconds, size;
    uint64_t inode;
};

struct cw_auth {
    struct cw_certificates *certificates;
    struct auth_peer peers[SEATS];
    struct stamp used[CW_FILE_COUNT], seen[CW_FILE_COUNT]; /* when last loaded; when last looked at */
    uint64_t look_ns, judge_ns;                            /* when next; 0: soon */
    uint64_t warn_ns;
    bool is_waiting; /* for room in the ring of verdicts */
    bool is_behind;  /* something of the files cannot be used: told once a day */
};

/* ---------------------------------------------------------------- files */

static void file_names(const struct cw_node_config *config, const char *files[CW_FILE_COUNT])
{
    for (unsigned i = 0; i < CW_FILE_COUNT; i++)
        files[i] = config->security.files[i];
}

/* True if there is something to tell: of the mistake, or of what will not work though it was loaded. */
static bool load(const struct cw_node_config *config, struct cw_certificates **certificates,
                 struct cw_certificate_mistake *mistake, char warning[CW_TLS_WORDS])
{
    const char *files[CW_FILE_COUNT];
    file_names(config, files);
    *certificates =
        cw_certificates_load(files, config->site, config->node, (int64_t)time(NULL), mistake, warning);
    return *certificates == NULL || warning[0] != 0;
}

bool cw_auth_check(const struct cw_node_config *config, char *why, size_t why_size)
{
    struct cw_certificate_mistake mistake;
    struct cw_certificates *certificates;
    char warning[CW_TLS_WORDS];
    why[0] = 0;
    if (!config->security.has_certificates || !load(config, &certificates, &mistake, warning)) {
        if (config->security.has_certificates)
            cw_certificates_free(certificates);
        return true;
    }
    bool is_good = certificates != NULL;
    unsigned file = is_good ? CW_FILE_CERTIFICATE : mistake.file;
    if (is_good)
        snprintf(why, why_size, "%u: warning: %s", config->security.lines[file], warning);
    else
        snprintf(why, why_size, "%u: %s is %.128s: expected %s", config->security.lines[file],
                 cw_config_security_keys[file], config->security.files[file], mistake.expected);
    cw_certificates_free(certificates);
    return is_good;
}

static void take_stamps(const struct cw_node_config *config, struct stamp stamps[CW_FILE_COUNT])
{
    for (unsigned i = 0; i < CW_FILE_COUNT; i++) {
        struct stat about = {0};
        (void)stat(config->security.files[i], &about);
        memset(&stamps[i], 0, sizeof stamps[i]);
        stamps[i].seconds = about.st_ctim.tv_sec;
        stamps[i].nanoseconds = about.st_ctim.tv_nsec;
        stamps[i].size = about.st_size;
        stamps[i].inode = about.st_ino;
    }
}

/* ---------------------------------------------------------------- telling */

static const char *const next_steps[CW_AUTH_REASON_COUNT] = {
    [CW_AUTH_NO_REASON] = "",
    [CW_AUTH_NO_CERTIFICATE] = "give that node one (causeway cert issue)",
    [CW_AUTH_OTHER_AUTHORITY] =
        "issue that node a certificate of this cluster's authority, or find out who sends from there",
    [CW_AUTH_OTHER_SITE] =
        "put the right name into paths (remote, remote_node), or give that node its own certificate",
    [CW_AUTH_EXPIRED] = "causeway cert renew, then copy the new files to that node",
    [CW_AUTH_NOT_YET_VALID] = "compare the clocks of both nodes",
    [CW_AUTH_REVOKED] =
        "if that node is to be believed again: causeway cert issue, then copy the new files to it",
    [CW_AUTH_STALE_REVOCATIONS] = "copy a newer list of revocations (ca-crl.pem) to this node",
    [CW_AUTH_REFUSED_BY_PEER] = "causeway events of the other site say why",
    [CW_AUTH_BROKEN] =
        "if it comes again, compare the versions of both ends, and find out who else sends there",
};

static const char *what(enum cw_auth_reason reason)
{
    return reason == CW_AUTH_REFUSED_BY_PEER ? "refuses our certificate"
           : reason == CW_AUTH_BROKEN        ? "cannot be judged"
                                             : "is refused";
}

/* All paths of a peer are alike but for their addresses and names. */
static const struct cw_config_path *path_of(const struct cw_control *control, uint32_t index)
{
    const struct cw_node_config *config = &control->engine->config;
    return &config->paths[config->peers[index % CW_PEERS_MAX].paths[0]];
}

/* "path wan0", "paths wan0, wan1". */
static const char *path_words(const struct cw_control *control, uint32_t index, char *text, size_t size)
{
    const struct cw_node_config *config = &control->engine->config;
    const struct cw_config_peer *peer = &config->peers[index % CW_PEERS_MAX];
    size_t used = (size_t)snprintf(text, size, "path%s", peer->path_count > 1 ? "s" : "");
    for (unsigned p = 0; p < peer->path_count && used < size; p++)
        used += (size_t)snprintf(text + used, size - used, "%s %s", p > 0 ? "," : "",
                                 config->paths[peer->paths[p]].name);
    return text;
}

/* One that comes every two seconds is told once a minute; the counters have them all. */
static void tell(struct cw_control *control, uint32_t index, enum cw_auth_reason reason, const char *words)
{
    struct auth_peer *peer = &control->auth->peers[index % CW_PEERS_MAX]; /* once for all lanes */
    const struct cw_config_path *config = path_of(control, index);
    char paths[PATH_WORDS];
    uint64_t now_ns = cw_clock_now_ns();
    if (peer->told_reason == reason && now_ns - peer->told_ns < TELL_NS)
        return;
    if (control->controller != 0) { /* else nobody but the log hears it */
        peer->told_reason = (uint8_t)reason;
        peer->told_ns = now_ns;
    }
    cw_control_event(control, 2, 0, "%s: %s %s: %s; %s", path_words(control, index, paths, sizeof paths),
                     config->remote, what(reason), words, next_steps[reason]);
}

/* ---------------------------------------------------------------- verdicts */

static void push(struct cw_control *control, uint32_t index, const struct cw_auth_answer *answer)
{
    struct cw_net_verdict verdict = {.peer = (uint8_t)(index % CW_PEERS_MAX), .answer = *answer};
    bool pushed = cw_ring_push(&control->engine->lanes[index / CW_PEERS_MAX].verdicts, &verdict);
    CW_ASSERT(pushed && "room was seen before");
    explicit_bzero(&verdict, sizeof verdict);
}

static void say(struct cw_control *control, uint32_t index, uint8_t type, enum cw_auth_reason reason,
                uint32_t attempt)
{
    struct cw_auth_answer answer = {.type = type, .reason = (uint8_t)reason, .attempt = attempt};
    push(control, index, &answer);
}

/* More than a handshake carries is left where it is: the session refuses the attempt at the end of its room.
 */
static void pass_bytes(struct cw_control *control, uint32_t index)
{
    struct auth_peer *peer = &control->auth->peers[index];
    struct cw_auth_answer answer = {.type = CW_AUTH_OUT, .attempt = peer->attempt};
    for (unsigned i = 0; i + 1 < VERDICTS_ROOM; i++) {
        answer.length = (uint16_t)cw_tls_take(peer->tls, answer.bytes, sizeof answer.bytes);
        if (answer.length == 0)
            return;
        push(control, index, &answer);
    }
}

static void end_attempt(struct auth_peer *peer)
{
    cw_tls_free(peer->tls);
    peer->tls = NULL;
}

static void refuse(struct cw_control *control, uint32_t index, enum cw_auth_reason reason, const char *words)
{
    struct auth_peer *peer = &control->auth->peers[index];
    tell(control, index, reason, words);
    say(control, index, CW_AUTH_REFUSED, reason, peer->attempt);
    end_attempt(peer);
}

static void forget(struct believed *believed)
{
    cw_peer_free(believed->peer);
    believed->peer = NULL;
}

/* By the files of now: TLS judged its certificate when that came, by those that it began with. */
static void believe(struct cw_control *control, uint32_t index)
{
    struct auth_peer *peer = &control->auth->peers[index];
    struct cw_auth_answer answer = {.type = CW_AUTH_KEYED, .attempt = peer->attempt};
    char words[CW_TLS_WORDS];
    forget(&peer->judged);
    peer->judged = (struct believed){.attempt = peer->attempt, .peer = cw_tls_peer(peer->tls)};
    CW_ASSERT(peer->judged.peer != NULL && "a few hundred bytes on the control thread");
    enum cw_auth_reason reason =
        cw_peer_judge(peer->judged.peer, control->auth->certificates, (int64_t)time(NULL), words);
    if (reason != CW_AUTH_NO_REASON) {
        forget(&peer->judged);
        refuse(control, index, reason, words);
        return;
    }
    peer->is_keyed = true;
    cw_tls_secret(peer->tls, answer.secret);
    push(control, index, &answer);
    explicit_bzero(&answer, sizeof answer);
}

static void step(struct cw_control *control, uint32_t index, const uint8_t *bytes, size_t length)
{
    struct auth_peer *peer = &control->auth->peers[index];
    enum cw_tls_state state = cw_tls_step(peer->tls, bytes, length);
    pass_bytes(control, index);
    if (state == CW_TLS_REFUSED)
        refuse(control, index, cw_tls_reason(peer->tls), cw_tls_words(peer->tls));
    else if (state == CW_TLS_GOOD && !peer->is_keyed)
        believe(control, index);
}

static void begin(struct cw_control *control, uint32_t index, const struct cw_auth_request *request)
{
    struct cw_auth *auth = control->auth;
    struct auth_peer *peer = &auth->peers[index];
    const struct cw_config_path *config = path_of(control, index);
    end_attempt(peer);
    peer->attempt = request->attempt;
    peer->is_keyed = false;
    peer->tls = cw_tls_begin(auth->certificates, request->is_initiator, config->remote, config->remote_node,
                             request->context, (int64_t)time(NULL));
    CW_ASSERT(peer->tls != NULL && "memory for one handshake a peer");
    if (request->is_initiator)
        step(control, index, NULL, 0);
}

static void on_up(struct cw_control *control, uint32_t index, const struct cw_auth_request *request)
{
    struct auth_peer *peer = &control->auth->peers[index];
    const struct cw_config_path *config = path_of(control, index);
    char paths[PATH_WORDS];
    if (peer->judged.peer == NULL || peer->judged.attempt != request->attempt)
        return;
    if (peer->attempt == request->attempt)
        end_attempt(peer); /* both have judged, and it could still make the secret again */
    cw_peer_free(peer->live.peer);
    peer->live = peer->judged;
    peer->judged.peer = NULL;
    if (index >= CW_PEERS_MAX)
        return; /* it is told for lane 0 */
    peer->told_reason = CW_AUTH_NO_REASON;
    cw_control_event(control, 0, 0, "%s: %s is there, by the certificate of %s",
                     path_words(control, index, paths, sizeof paths), config->remote,
                     cw_peer_name(peer->live.peer));
}

static void on_question(struct cw_control *control, uint32_t lane, const struct cw_net_question *question)
{
    const struct cw_auth_request *request = &question->request;
    uint32_t index = lane * CW_PEERS_MAX + question->peer;
    struct auth_peer *peer = &control->auth->peers[index];
    if (request->type == CW_AUTH_BEGIN)
        begin(control, index, request);
    else if (request->type == CW_AUTH_UP)
        on_up(control, index, request);
    else if (peer->tls != NULL && peer->attempt == request->attempt)
        step(control, index, request->bytes, request->length);
}

/* ---------------------------------------------------------------- judging again */

static void judge_again(struct cw_control *control, uint32_t index, struct believed *believed)
{
    char words[CW_TLS_WORDS];
    if (believed->peer == NULL)
        return;
    enum cw_auth_reason reason =
        cw_peer_judge(believed->peer, control->auth->certificates, (int64_t)time(NULL), words);
    if (reason == CW_AUTH_NO_REASON)
        return;
    tell(control, index, reason, words);
    say(control, index, CW_AUTH_ENDED, reason, believed->attempt);
    forget(believed);
}

/* False: there is no room for all that it may have to say. */
static bool judge_all(struct cw_control *control)
{
    struct cw_engine *engine = control->engine;
    for (uint32_t lane = 0; lane < engine->config.lane_count; lane++) {
        if (cw_ring_room(&engine->lanes[lane].verdicts) < 2 * engine->config.peer_count)
            return false;
    }
    for (uint32_t i = 0; i < SEATS; i++) {
        judge_again(control, i, &control->auth->peers[i].judged);
        judge_again(control, i, &control->auth->peers[i].live);
    }
    return true;
}

/* From now on these; all that live are judged by them. */
static void use(struct cw_auth *auth, struct cw_certificates *fresh)
{
    cw_certificates_free(auth->certificates);
    auth->certificates = fresh;
    auth->judge_ns = 0;
}

/* When the files cannot be used: if that is for our own pair alone, authority and revocations are. True then.
 */
static bool use_trust_alone(struct cw_control *control, enum cw_certificate_file wrong)
{
    const char *files[CW_FILE_COUNT];
    if (wrong != CW_FILE_CERTIFICATE && wrong != CW_FILE_KEY)
        return false;
    file_names(&control->engine->config, files);
    struct cw_certificates *fresh =
        cw_certificates_keep_pair(control->auth->certificates, files, (int64_t)time(NULL));
    if (fresh != NULL)
        use(control->auth, fresh);
    return fresh != NULL;
}

/* Reads all files again. False with words: not all of them are in use now. */
static bool reload(struct cw_control *control, char *why, size_t why_size)
{
    struct cw_auth *auth = control->auth;
    struct cw_certificate_mistake mistake;
    struct cw_certificates *fresh;
    char warning[CW_TLS_WORDS];
    take_stamps(&control->engine->config, auth->used);
    (void)load(&control->engine->config, &fresh, &mistake, warning);
    auth->is_behind = fresh == NULL;
    auth->warn_ns = cw_clock_now_ns() + WARN_NS;
    if (fresh == NULL) {
        snprintf(why, why_size, "%s is %.128s: expected %s; %s", cw_config_security_keys[mistake.file],
                 control->engine->config.security.files[mistake.file], mistake.expected,
                 use_trust_alone(control, mistake.file)
                     ? "the pair that was read before stays in use, with the revocations of now"
                     : "what was read before stays in use");
        return false;
    }
    use(auth, fresh);
    cw_control_event(control, warning[0] != 0, 0, "certificates and revocations are read again%s%s",
                     warning[0] != 0 ? ": " : "", warning);
    return true;
}

static void look_at_files(struct cw_control *control)
{
    struct cw_auth *auth = control->auth;
    struct stamp fresh[CW_FILE_COUNT];
    char why[CW_WHY_SIZE + CW_TLS_WORDS];
    take_stamps(&control->engine->config, fresh);
    bool rests = memcmp(fresh, auth->seen, sizeof fresh) == 0;
    memcpy(auth->seen, fresh, sizeof fresh);
    if (rests && memcmp(fresh, auth->used, sizeof fresh) != 0 && !reload(control, why, sizeof why))
        cw_control_event(control, 2, 0, "%s", why);
}

/* Once a day, that a certificate does not end unheard, nor a mistake in the files remain. */
static void warn(struct cw_control *control, uint64_t now_ns)
{
    struct cw_auth *auth = control->auth;
    char warning[CW_TLS_WORDS], why[CW_WHY_SIZE + CW_TLS_WORDS];
    if (now_ns < auth->warn_ns)
        return;
    auth->warn_ns = now_ns + WARN_NS;
    if (auth->is_behind) {
        if (reload(control, why, sizeof why))
            return; /* it has warned */
        cw_control_event(control, 2, 0, "%s", why);
    }
    cw_certificates_warn(auth->certificates, (int64_t)time(NULL), warning);
    if (warning[0] != 0)
        cw_control_event(control, 1, 0, "%s", warning);
}

/* ---------------------------------------------------------------- the turn */

int cw_auth_wait_ms(const struct cw_control *control, int otherwise)
{
    const struct cw_auth *auth = control->auth;
    return auth != NULL && (auth->is_waiting || auth->judge_ns == 0) ? WAIT_SHORT_MS : otherwise;
}

static bool has_room(struct cw_engine_lane *lane)
{
    return cw_ring_room(&lane->verdicts) >= VERDICTS_ROOM;
}

/* True: it has to wait for room. */
static bool answer_lane(struct cw_control *control, uint32_t index)
{
    struct cw_engine_lane *lane = &control->engine->lanes[index];
    struct cw_net_question question;
    while (has_room(lane) && cw_ring_pop(&lane->questions, &question))
        on_question(control, index, &question);
    return !has_room(lane);
}

void cw_auth_turn(struct cw_control *control)
{
    struct cw_auth *auth = control->auth;
    struct cw_engine *engine = control->engine;
    uint32_t rooms[CW_LANES_MAX];
    if (auth == NULL)
        return;
    auth->is_waiting = false;
    for (uint32_t lane = 0; lane < engine->config.lane_count; lane++) {
        rooms[lane] = cw_ring_room(&engine->lanes[lane].verdicts);
        auth->is_waiting |= answer_lane(control, lane);
    }
    uint64_t now_ns = cw_clock_now_ns();
    if (now_ns >= auth->look_ns) {
        auth->look_ns = now_ns + LOOK_NS;
        look_at_files(control);
    }
    if (now_ns >= auth->judge_ns && judge_all(control))
        auth->judge_ns = now_ns + JUDGE_NS;
    if (control->controller != 0) /* else nobody but the log hears it */
        warn(control, now_ns);
    for (uint32_t lane = 0; lane < engine->config.lane_count; lane++) {
        if (cw_ring_room(&engine->lanes[lane].verdicts) < rooms[lane])
            cw_loops_wake_net(engine, lane);
    }
}

const char *cw_auth_peer(const struct cw_control *control, uint32_t peer)
{
    const struct cw_auth *auth = control->auth;
    return auth != NULL && auth->peers[peer].live.peer != NULL ? cw_peer_name(auth->peers[peer].live.peer)
                                                               : "";
}

void cw_method_certificates_reload(struct cw_call *call)
{
    char why[CW_WHY_SIZE + CW_TLS_WORDS];
    if (call->control->auth == NULL)
        cw_call_refuse(call, CW_INVALID, "this node has a cluster_key and no certificates");
    else if (!reload(call->control, why, sizeof why))
        cw_call_refuse(call, CW_INVALID, "%s", why);
    else
        cw_call_reply(call, NULL);
}

/* ---------------------------------------------------------------- starting */

enum cw_status cw_auth_start(struct cw_control *control, char *why, size_t why_size)
{
    const struct cw_node_config *config = &control->engine->config;
    struct cw_certificate_mistake mistake;
    char warning[CW_TLS_WORDS];
    if (!config->security.has_certificates)
        return CW_OK;
    struct cw_auth *auth = control->auth = calloc(1, sizeof *auth);
    CW_ASSERT(auth != NULL);
    take_stamps(config, auth->used);
    memcpy(auth->seen, auth->used, sizeof auth->seen);
    (void)load(config, &auth->certificates, &mistake, warning);
    if (auth->certificates == NULL) {
        snprintf(why, why_size, "%s is %.128s: expected %s", cw_config_security_keys[mistake.file],
                 config->security.files[mistake.file], mistake.expected);
        return CW_INVALID;
    }
    return CW_OK;
}

void cw_auth_end(struct cw_control *control)
{
    struct cw_auth *auth = control->auth;
    if (auth == NULL)
        return;
    for (unsigned i = 0; i < SEATS; i++) {
        cw_tls_free(auth->peers[i].tls);
        cw_peer_free(auth->peers[i].judged.peer);
        cw_peer_free(auth->peers[i].live.peer);
    }
    cw_certificates_free(auth->certificates);
    free(auth);
    control->auth = NULL;
}
