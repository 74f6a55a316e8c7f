/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections between controllers, by real OpenSSL over a loopback socket: who is believed and who is not, in
 * which words; what garbage, silence, a cut and a slow reader do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority.h"
#include "base/numbers.h"
#include "control/link_tls.h"

/* The files of somebody. */
struct identity {
    char paths[CW_LINK_FILES][96];
    const char *files[CW_LINK_FILES];
    char serial[CW_SERIAL_TEXT];
};

static struct authority ours, foreign;
static char folder[] = "/tmp/cw-link-XXXXXX", why[CW_LINK_WORDS];
static unsigned file_count;

static int before_all(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    return mkdtemp(folder) ? authority_make(&ours, "ours") | authority_make(&foreign, "foreign") : -1;
}

static int after_all(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    authority_free(&ours);
    authority_free(&foreign);
    return system(command);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* site "": somebody of the role. */
static struct identity *issue(const struct authority *authority, const char *cluster, const char *role,
                              const char *site, const char *name, int days)
{
    static const char *const hosts[] = {NULL};
    struct cw_certificate_subject subject = {
        .cluster = cluster, .site = site, .node = name, .role = role, .hosts = hosts, .days = days};
    struct cw_pair pair;
    struct identity *identity = calloc(1, sizeof *identity);
    assert_non_null(identity);
    assert_int_equal(cw_x509_issue(authority->pair.certificate, authority->pair.key, &subject, &pair), CW_OK);
    const char *const texts[CW_LINK_FILES] = {pair.certificate, pair.key, authority->pair.certificate,
                                              authority->list};
    for (int i = 0; i < CW_LINK_FILES; i++) {
        snprintf(identity->paths[i], sizeof identity->paths[i], "%s/%u.pem", folder, file_count++);
        identity->files[i] = identity->paths[i];
        write_file(identity->paths[i], texts[i], 0600);
    }
    snprintf(identity->serial, sizeof identity->serial, "%s", pair.serial);
    cw_pair_free(&pair);
    return identity;
}

static struct identity *node(const char *site)
{
    return issue(&ours, "ours", "node", site, site, 5);
}

static struct cw_link_trust *load(const struct identity *identity)
{
    struct cw_link_trust *trust = cw_link_trust_load(identity->files, why, sizeof why);
    if (!trust)
        fail_msg("%s", why);
    return trust;
}

/* ---------------------------------------------------------------- two ends */

struct ends {
    int fds[2]; /* the one that connects, the one that listens */
    struct cw_link_tls *tls[2];
};

static void connect_sockets(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
}

static void meet(struct ends *ends, const struct identity *one, const struct identity *other)
{
    const struct identity *identities[] = {one, other};
    connect_sockets(ends->fds);
    for (int i = 0; i < 2; i++) {
        struct cw_link_trust *trust = load(identities[i]);
        ends->tls[i] = cw_link_tls_start(trust, ends->fds[i], i == 0);
        assert_non_null(ends->tls[i]);
        cw_link_trust_free(trust);
    }
}

/* A client knows last that it is refused: when it reads. */
static void read_verdict(struct ends *ends)
{
    char byte;
    for (int i = 0;
         i < 200 && cw_link_tls_step(ends->tls[0]) == CW_LINK_GOOD && !*cw_link_tls_words(ends->tls[0]);
         i++) {
        (void)cw_link_carrier.receive(ends->tls[0], &byte, 1);
        (void)poll(NULL, 0, 1);
    }
}

static void shake(struct ends *ends)
{
    for (int i = 0; i < 1000; i++) {
        enum cw_link_state one = cw_link_tls_step(ends->tls[0]), other = cw_link_tls_step(ends->tls[1]);
        if (one == CW_LINK_REFUSED || other == CW_LINK_REFUSED || (one && other))
            break;
        (void)poll(NULL, 0, 1);
    }
    if (cw_link_tls_step(ends->tls[1]) == CW_LINK_REFUSED)
        read_verdict(ends);
}

static void part(struct ends *ends)
{
    for (int i = 0; i < 2; i++) {
        cw_link_tls_free(ends->tls[i]);
        if (ends->fds[i] >= 0)
            close(ends->fds[i]);
    }
}

/* ---------------------------------------------------------------- who is believed */

static void test_names(void **state)
{
    static const char *const wrong[] = {"",
                                        "causeway:/ours/east/east-1",
                                        "causeway://ours/east",
                                        "causeway://ours/east/",
                                        "causeway://ours//east",
                                        "causeway://ours/east/east/1",
                                        "causeway://ours/ea st/1",
                                        "causeway-client://ours/app",
                                        "causeway-operator://ours/alice/bob",
                                        "causeway-operator:///alice",
                                        "causeway-operator://ours",
                                        "causeway-operator://ours/al%20ice",
                                        "causeway-viewer://ours/\033[31m",
                                        "causeway-admin://ours/alice",
                                        "xcauseway://ours/east/east"};
    struct cw_link_peer peer;
    char words[160], longest[200] = "causeway-viewer://ours/";
    for (size_t i = 0; i < CW_COUNT_OF(wrong); i++) {
        if (cw_link_name_parse(wrong[i], &peer))
            fail_msg("%s is taken", wrong[i]);
    }
    memset(longest + strlen(longest), 'a', CW_LINK_NAME);
    assert_false(cw_link_name_parse(longest, &peer));
    longest[strlen(longest) - 1] = 0;
    assert_true(cw_link_name_parse(longest, &peer));
    assert_true(cw_link_name_parse("causeway://ours/east/east-1", &peer));
    assert_int_equal(peer.role, CW_LINK_CONTROLLER);
    assert_string_equal(cw_link_peer_words(&peer, words, sizeof words),
                        "the controller of east (node east-1)");
    assert_true(cw_link_name_parse("causeway-operator://ours/alice", &peer));
    assert_int_equal(peer.role, CW_LINK_OPERATOR);
    assert_string_equal(peer.site, "");
    assert_string_equal(cw_link_peer_words(&peer, words, sizeof words), "operator alice");
}

static void test_believed(void **state)
{
    static const struct {
        const char *role, *site, *name;
        enum cw_link_role expected;
    } table[] = {{"node", "west", "west-1", CW_LINK_CONTROLLER},
                 {"operator", "", "alice", CW_LINK_OPERATOR},
                 {"viewer", "", "bob", CW_LINK_VIEWER}};
    struct identity *east = node("east");
    for (size_t i = 0; i < CW_COUNT_OF(table); i++) {
        struct identity *other = issue(&ours, "ours", table[i].role, table[i].site, table[i].name, 5);
        struct ends ends;
        meet(&ends, other, east);
        shake(&ends);
        if (cw_link_tls_step(ends.tls[0]) != CW_LINK_GOOD || cw_link_tls_step(ends.tls[1]) != CW_LINK_GOOD)
            fail_msg("%s: %s / %s", table[i].name, cw_link_tls_words(ends.tls[0]),
                     cw_link_tls_words(ends.tls[1]));
        assert_int_equal(cw_link_tls_peer(ends.tls[1])->role, table[i].expected);
        assert_string_equal(cw_link_tls_peer(ends.tls[1])->name, table[i].name);
        assert_string_equal(cw_link_tls_peer(ends.tls[1])->serial, other->serial);
        assert_string_equal(cw_link_tls_peer(ends.tls[0])->site, "east");
        part(&ends);
        free(other);
    }
    free(east);
}

static void expect_refused(const struct identity *one, const struct identity *other, const char *at_one,
                           const char *at_other)
{
    struct ends ends;
    meet(&ends, one, other);
    shake(&ends);
    if (cw_link_tls_step(ends.tls[0]) == CW_LINK_GOOD && cw_link_tls_step(ends.tls[1]) == CW_LINK_GOOD)
        fail_msg("believed: expected \"%s\" / \"%s\"", at_one, at_other);
    if (!strstr(cw_link_tls_words(ends.tls[0]), at_one) || !strstr(cw_link_tls_words(ends.tls[1]), at_other))
        fail_msg("\"%s\" / \"%s\", expected \"%s\" / \"%s\"", cw_link_tls_words(ends.tls[0]),
                 cw_link_tls_words(ends.tls[1]), at_one, at_other);
    part(&ends);
}

static void test_refused(void **state)
{
    struct identity *east = node("east");
    struct identity *stranger = issue(&foreign, "ours", "node", "west", "west", 5);
    struct identity *late = issue(&ours, "ours", "node", "west", "west", -1);
    struct identity *client = issue(&ours, "ours", "client", "", "app", 5);
    struct identity *cousin = issue(&ours, "theirs", "node", "west", "west", 5);
    struct identity *person = issue(&ours, "ours", "operator", "", "alice", 5);
    /* The one that connects judges first: both have the other's authority for a stranger's. */
    expect_refused(stranger, east, "its certificate is refused: self-signed certificate in", "");
    expect_refused(east, stranger, "its certificate is refused: self-signed certificate in", "");
    expect_refused(late, east, "the other end refuses ours: certificate expired", "certificate has expired");
    expect_refused(east, late, "its certificate is refused: certificate has expired",
                   "the other end refuses ours");
    expect_refused(cousin, east, "its certificate is of cluster ours, not of theirs",
                   "is of cluster theirs, not of");
    /* A person's is for one end only: nobody listens with it. */
    expect_refused(east, person, "its certificate is refused: unsuitable certificate purpose", "");
    /* An NBD client's names nobody: it is not even loaded. The other end, who would let it in by the chain:
     */
    assert_null(cw_link_trust_load(client->files, why, sizeof why));
    assert_non_null(strstr(why, "expected a certificate of a node, an operator or a viewer"));
    free(east);
    free(stranger);
    free(late);
    free(client);
    free(cousin);
    free(person);
}

/* With what OpenSSL has, and not by our own hand: no certificate, an NBD client's, an old version of TLS. */
static void shake_plain(const struct identity *east, const struct identity *plain, int version,
                        const char *expected)
{
    struct ends ends = {0};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    struct cw_link_trust *trust = load(east);
    connect_sockets(ends.fds);
    SSL_CTX_set_max_proto_version(context, version);
    if (plain) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(context, plain->files[CW_LINK_CERTIFICATE]), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(context, plain->files[CW_LINK_KEY], SSL_FILETYPE_PEM),
                         1);
    }
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, ends.fds[0]);
    ends.tls[1] = cw_link_tls_start(trust, ends.fds[1], false);
    for (int i = 0; i < 500 && cw_link_tls_step(ends.tls[1]) == CW_LINK_SHAKING; i++) {
        (void)SSL_connect(ssl);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(cw_link_tls_step(ends.tls[1]), CW_LINK_REFUSED);
    if (!strstr(cw_link_tls_words(ends.tls[1]), expected))
        fail_msg("\"%s\", expected \"%s\"", cw_link_tls_words(ends.tls[1]), expected);
    SSL_free(ssl);
    SSL_CTX_free(context);
    cw_link_trust_free(trust);
    part(&ends);
}

static void test_plain(void **state)
{
    struct identity *east = node("east"), *west = node("west");
    struct identity *client = issue(&ours, "ours", "client", "", "app", 5);
    shake_plain(east, NULL, TLS1_3_VERSION, "peer did not return a certificate");
    shake_plain(east, client, TLS1_3_VERSION, "names neither a node nor an operator nor a viewer");
    shake_plain(east, west, TLS1_2_VERSION, "unsupported protocol");
    free(east);
    free(west);
    free(client);
}

static void take_back(const struct identity *whom, const struct identity *where)
{
    struct cw_revocation revocation = {.revoked_at = 1700000000};
    char *list = NULL;
    snprintf(revocation.serial, sizeof revocation.serial, "%s", whom->serial);
    assert_int_equal(cw_x509_revocations(ours.pair.certificate, ours.pair.key, &revocation, 1, &list), CW_OK);
    write_file(where->files[CW_LINK_REVOCATIONS], list, 0600);
    free(list);
}

/* One that is revoked does not get in, and one that is in is found by the next judgement. */
static void test_revoked(void **state)
{
    struct identity *east = node("east"), *west = node("west");
    struct ends ends;
    meet(&ends, west, east);
    shake(&ends);
    assert_int_equal(cw_link_tls_step(ends.tls[1]), CW_LINK_GOOD);
    struct cw_link_trust *before = load(east);
    assert_true(cw_link_tls_judge(ends.tls[1], before, why, sizeof why));
    take_back(west, east);
    struct cw_link_trust *after = cw_link_trust_keep_pair(before, east->files, why, sizeof why);
    assert_non_null(after);
    assert_false(cw_link_tls_judge(ends.tls[1], after, why, sizeof why));
    assert_non_null(strstr(why, "certificate revoked"));
    assert_string_equal(cw_link_trust_own(after)->site, "east");
    cw_link_trust_free(before);
    cw_link_trust_free(after);
    part(&ends);
    expect_refused(west, east, "the other end refuses ours: certificate revoked", "certificate revoked");
    free(east);
    free(west);
}

/* Puts the list of a clock that is so many seconds before ours where the identity has its own. */
static void move_list(const struct identity *identity, long seconds)
{
    BIO *from = BIO_new_file(identity->files[CW_LINK_REVOCATIONS], "r");
    BIO *key_from = BIO_new_mem_buf(ours.pair.key, -1);
    X509_CRL *list = PEM_read_bio_X509_CRL(from, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_from, NULL, NULL, NULL);
    ASN1_TIME *when = X509_gmtime_adj(NULL, seconds);
    assert_true(list && key && when && X509_CRL_set1_lastUpdate(list, when) &&
                X509_CRL_sign(list, key, EVP_sha256()) > 0);
    BIO_free(from);
    BIO *to = BIO_new_file(identity->files[CW_LINK_REVOCATIONS], "w");
    assert_int_equal(PEM_write_bio_X509_CRL(to, list), 1);
    BIO_free(to);
    BIO_free(key_from);
    ASN1_TIME_free(when);
    EVP_PKEY_free(key);
    X509_CRL_free(list);
}

/* It keeps nobody out but those that it names. */
static void test_list_made_in_the_future(void **state)
{
    struct identity *east = node("east"), *west = node("west");
    struct ends ends;
    move_list(east, 200);
    meet(&ends, west, east);
    shake(&ends);
    assert_int_equal(cw_link_tls_step(ends.tls[1]), CW_LINK_GOOD);
    struct cw_link_trust *again = load(east);
    assert_true(cw_link_tls_judge(ends.tls[1], again, why, sizeof why));
    cw_link_trust_free(again);
    part(&ends);
    take_back(west, east);
    move_list(east, 200);
    expect_refused(west, east, "the other end refuses ours: certificate revoked", "certificate revoked");
    free(east);
    free(west);
}

/* A person's certificate stays good when it is judged again, with its extension that only we know. */
static void test_person_is_judged_again(void **state)
{
    struct identity *east = node("east"), *alice = issue(&ours, "ours", "viewer", "", "alice", 5);
    struct ends ends;
    meet(&ends, alice, east);
    shake(&ends);
    struct cw_link_trust *trust = load(east);
    if (!cw_link_tls_judge(ends.tls[1], trust, why, sizeof why))
        fail_msg("%s", why);
    cw_link_trust_free(trust);
    part(&ends);
    free(east);
    free(alice);
}

static void expect_not_loaded(const struct identity *identity, const char *expected)
{
    struct cw_link_trust *trust = cw_link_trust_load(identity->files, why, sizeof why);
    if (trust || !strstr(why, expected))
        fail_msg("%s, expected %s", trust ? "loaded" : why, expected);
}

static void test_files(void **state)
{
    struct identity *east = node("east"), *west = node("west");
    write_file(east->files[CW_LINK_REVOCATIONS], foreign.list, 0600);
    expect_not_loaded(east, "this one is not signed by it");
    write_file(east->files[CW_LINK_REVOCATIONS], "nothing\n", 0600);
    expect_not_loaded(east, "there is none in it");
    write_file(east->files[CW_LINK_REVOCATIONS], ours.list, 0600);
    assert_int_equal(chmod(east->files[CW_LINK_KEY], 0644), 0);
    expect_not_loaded(east, "only its owner may read");
    assert_int_equal(rename(west->files[CW_LINK_KEY], east->files[CW_LINK_KEY]), 0);
    expect_not_loaded(east, "expected the private key of the certificate");
    unlink(east->files[CW_LINK_CERTIFICATE]);
    expect_not_loaded(east, "expected a certificate in PEM");
    unlink(east->files[CW_LINK_AUTHORITY]);
    expect_not_loaded(east, "expected the authority's certificate");
    free(east);
    free(west);
}

/* ---------------------------------------------------------------- what comes instead of TLS */

static void test_garbage(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "{\"jsonrpc\":\"2.0\"}\n",
                                          "\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff\xff", "SSH-2.0-x\r\n"};
    struct identity *east = node("east");
    struct cw_link_trust *trust = load(east);
    for (size_t i = 0; i < CW_COUNT_OF(garbage); i++) {
        struct ends ends = {0};
        connect_sockets(ends.fds);
        ends.tls[1] = cw_link_tls_start(trust, ends.fds[1], false);
        assert_int_equal(cw_link_tls_step(ends.tls[1]),
                         CW_LINK_SHAKING); /* silence is no reason: a time-out is */
        assert_true(write(ends.fds[0], garbage[i], strlen(garbage[i])) > 0);
        for (int k = 0; k < 100 && cw_link_tls_step(ends.tls[1]) == CW_LINK_SHAKING; k++)
            (void)poll(NULL, 0, 1);
        assert_int_equal(cw_link_tls_step(ends.tls[1]), CW_LINK_REFUSED);
        if (!strstr(cw_link_tls_words(ends.tls[1]), "no TLS as it is wanted here"))
            fail_msg("%zu: %s", i, cw_link_tls_words(ends.tls[1]));
        part(&ends);
    }
    cw_link_trust_free(trust);
    free(east);
}

/* The handshake is cut after each of its first bytes: refused, and nothing else. */
static void test_truncated_handshake(void **state)
{
    struct identity *east = node("east"), *west = node("west");
    for (int cut = 0; cut < 400; cut += 37) {
        struct ends ends;
        char bytes[512];
        struct cw_link_trust *trust = load(east);
        meet(&ends, west, east);
        cw_link_tls_free(ends.tls[1]);
        (void)cw_link_tls_step(ends.tls[0]);
        ssize_t got = 0;
        for (int k = 0; k < 100 && got <= 0; k++, (void)poll(NULL, 0, 1))
            got = recv(ends.fds[1], bytes, (size_t)cut + 1, 0);
        int fds[2];
        connect_sockets(fds);
        ends.tls[1] = cw_link_tls_start(trust, fds[1], false);
        assert_int_equal(write(fds[0], bytes, (size_t)got), got);
        close(fds[0]);
        for (int k = 0; k < 100 && cw_link_tls_step(ends.tls[1]) == CW_LINK_SHAKING; k++)
            (void)poll(NULL, 0, 1);
        assert_int_equal(cw_link_tls_step(ends.tls[1]), CW_LINK_REFUSED);
        cw_link_trust_free(trust);
        part(&ends);
        close(fds[1]);
    }
    free(east);
    free(west);
}

/* ---------------------------------------------------------------- bytes */

static void open_pair(struct ends *ends, struct cw_rpc_connection connections[2])
{
    struct identity *east = node("east"), *west = node("west");
    meet(ends, west, east);
    shake(ends);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cw_link_tls_step(ends->tls[i]), CW_LINK_GOOD);
        cw_rpc_connection_start(&connections[i], ends->fds[i]);
        connections[i].carrier = &cw_link_carrier;
        connections[i].carried = ends->tls[i];
        ends->fds[i] = -1; /* the connection's now */
    }
    free(east);
    free(west);
}

static void close_pair(struct ends *ends, struct cw_rpc_connection connections[2])
{
    for (int i = 0; i < 2; i++) {
        cw_link_tls_free(ends->tls[i]);
        ends->tls[i] = NULL;
        if (connections[i].fd >= 0)
            cw_rpc_connection_close(&connections[i]);
    }
}

/* A message near the limit goes both ways at once, in as many pieces as the sockets make of it. */
static void test_messages(void **state)
{
    struct ends ends;
    struct cw_rpc_connection connections[2];
    static char text[CW_RPC_LINE_MAX - 100];
    int got[2] = {0};
    open_pair(&ends, connections);
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 2; i++)
        assert_true(
            cw_rpc_connection_send(&connections[i], cw_rpc_note("big", json_pack("{s:s}", "t", text))));
    for (int turn = 0; turn < 5000 && got[0] + got[1] < 2; turn++) {
        for (int i = 0; i < 2; i++) {
            struct cw_rpc_message message;
            assert_true(cw_rpc_connection_flush(&connections[i]) && cw_rpc_connection_read(&connections[i]));
            if (cw_rpc_lines_next(&connections[i].in, &message) != CW_RPC_NEXT_MESSAGE)
                continue;
            got[i]++;
            assert_string_equal(cw_json_text(message.params, "t", ""), text);
            json_decref(message.whole);
        }
    }
    assert_int_equal(got[0], 1);
    assert_int_equal(got[1], 1);
    close_pair(&ends, connections);
}

/* One who does not read: what waits for him is bounded, and then he is given up. */
static void test_slow_reader(void **state)
{
    struct ends ends;
    struct cw_rpc_connection connections[2];
    static char text[60000];
    int sent = 0;
    open_pair(&ends, connections);
    memset(text, 'x', sizeof text - 1);
    while (sent < 2000 &&
           cw_rpc_connection_send(&connections[0], cw_rpc_note("e", json_pack("{s:s}", "t", text))))
        sent++;
    assert_true(sent > 100 && sent < 2000);
    assert_true(connections[0].out_used <= CW_RPC_OUT_MAX);
    close_pair(&ends, connections);
}

/* A connection that ends without a farewell, and bytes that were changed on the way, end it and give nothing.
 */
static void test_cut(void **state)
{
    struct ends ends;
    struct cw_rpc_connection connections[2];
    open_pair(&ends, connections);
    assert_true(cw_rpc_connection_read(&connections[1])); /* nothing is there: no reason to end */
    assert_int_equal(write(connections[0].fd, "\x17\x03\x03\x00\x20plain bytes in place of a record", 37),
                     37);
    bool is_open = true;
    for (int i = 0; i < 100 && is_open; i++, (void)poll(NULL, 0, 1))
        is_open = cw_rpc_connection_read(&connections[1]);
    assert_false(is_open);
    assert_int_equal(connections[1].in.used, 0);
    close_pair(&ends, connections);
    open_pair(&ends, connections);
    close(connections[0].fd);
    connections[0].fd = -1;
    is_open = true;
    for (int i = 0; i < 100 && is_open; i++, (void)poll(NULL, 0, 1))
        is_open = cw_rpc_connection_read(&connections[1]);
    assert_false(is_open);
    close_pair(&ends, connections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_believed),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_revoked),
                                       cmocka_unit_test(test_list_made_in_the_future),
                                       cmocka_unit_test(test_person_is_judged_again),
                                       cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_garbage),
                                       cmocka_unit_test(test_truncated_handshake),
                                       cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_slow_reader),
                                       cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests(tests, before_all, after_all);
}
