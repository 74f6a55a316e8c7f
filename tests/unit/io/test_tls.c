/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The authenticator by OpenSSL, on certificates made as causeway cert makes them: who is believed and who is
 * not, with which reason on either side; that the secret depends on the context; that what was believed is
 * judged again; that no file that is wrong is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/numbers.h"
#include "control/certificate_x509.h"
#include "io/tls.h"

#define DAY 86400

struct authority {
    struct cw_pair pair;
    struct cw_revocation revoked[4];
    size_t revoked_count;
};

struct node {
    const struct authority *by;
    const char *cluster, *site, *node;
    struct cw_pair pair;
    char paths[CW_FILE_COUNT][96];
    const char *files[CW_FILE_COUNT];
    struct cw_certificates *certificates;
};

static char directory[64];
static struct authority ours, theirs;
static struct node east, west, other;
static int64_t now;

static void write_text(const char *path, const char *text)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

static void write_lists(const struct node *n)
{
    char *pem = NULL;
    assert_int_equal(cw_x509_revocations(n->by->pair.certificate, n->by->pair.key, n->by->revoked,
                                         n->by->revoked_count, &pem),
                     CW_OK);
    write_text(n->paths[CW_FILE_REVOCATIONS], pem);
    free(pem);
}

static struct cw_certificates *load(const struct node *n, struct cw_certificate_mistake *mistake,
                                    char warning[CW_TLS_WORDS])
{
    return cw_certificates_load(n->files, n->site, n->node, now, mistake, warning);
}

static void make_node(struct node *n, const struct authority *by, const char *cluster, const char *site,
                      const char *node, int days)
{
    static const char *const names[CW_FILE_COUNT] = {"cert", "key", "ca", "crl"};
    static const char *const no_hosts[] = {NULL};
    struct cw_certificate_subject subject = {
        .cluster = cluster, .site = site, .node = node, .hosts = no_hosts, .days = days};
    struct cw_certificate_mistake mistake;
    char warning[CW_TLS_WORDS];
    *n = (struct node){.by = by, .cluster = cluster, .site = site, .node = node};
    assert_int_equal(cw_x509_issue(by->pair.certificate, by->pair.key, &subject, &n->pair), CW_OK);
    for (int i = 0; i < CW_FILE_COUNT; i++) {
        snprintf(n->paths[i], sizeof n->paths[i], "%s/%s-%s-%s", directory, site, node, names[i]);
        n->files[i] = n->paths[i];
    }
    write_text(n->paths[CW_FILE_CERTIFICATE], n->pair.certificate);
    write_text(n->paths[CW_FILE_KEY], n->pair.key);
    assert_int_equal(chmod(n->paths[CW_FILE_KEY], 0600), 0);
    write_text(n->paths[CW_FILE_AUTHORITY], by->pair.certificate);
    write_lists(n);
    n->certificates = load(n, &mistake, warning);
    if (!n->certificates)
        fail_msg("expected %s", mistake.expected);
    if (days > CW_TLS_WARN_DAYS)
        assert_string_equal(warning, "");
    else
        assert_non_null(strstr(warning, "causeway cert renew west/west-2"));
}

static void end_node(struct node *n)
{
    cw_certificates_free(n->certificates);
    cw_pair_free(&n->pair);
    for (int i = 0; i < CW_FILE_COUNT; i++)
        if (n->paths[i][0])
            unlink(n->paths[i]);
    *n = (struct node){0};
}

static int set_up(void **state)
{
    now = time(NULL);
    snprintf(directory, sizeof directory, "/tmp/cw-test-tls-XXXXXX");
    assert_non_null(mkdtemp(directory));
    memset(&ours, 0, sizeof ours);
    memset(&theirs, 0, sizeof theirs);
    assert_int_equal(cw_x509_authority("bank", 3650, &ours.pair), CW_OK);
    assert_int_equal(cw_x509_authority("bank", 3650, &theirs.pair), CW_OK);
    make_node(&east, &ours, "bank", "east", "east", 365);
    make_node(&west, &ours, "bank", "west", "west-1", 365);
    return 0;
}

static int tear_down(void **state)
{
    end_node(&east);
    end_node(&west);
    end_node(&other);
    cw_pair_free(&ours.pair);
    cw_pair_free(&theirs.pair);
    return rmdir(directory);
}

/* ---- two of them ---- */

struct talk {
    struct cw_tls *sides[2]; /* 0 initiates */
    enum cw_tls_state states[2];
    size_t bytes[2];
};

static struct talk begin(const struct node *a, const char *wants_site, const char *wants_node,
                         const struct node *b, const char *expects, int64_t at)
{
    static const uint8_t context[CW_AUTH_CONTEXT_BYTES] = {1, 2, 3};
    struct talk t = {0};
    t.sides[0] = cw_tls_begin(a->certificates, true, wants_site, wants_node, context, at);
    t.sides[1] = cw_tls_begin(b->certificates, false, expects, "", context, at);
    t.states[0] = cw_tls_step(t.sides[0], NULL, 0);
    return t;
}

static void run(struct talk *t, size_t piece)
{
    uint8_t bytes[4096];
    for (int quiet = 0, from = 0; quiet < 2; from = !from) {
        size_t length = cw_tls_take(t->sides[from], bytes, CW_MIN(piece, sizeof bytes));
        quiet = length ? 0 : quiet + 1;
        t->bytes[from] += length;
        if (length)
            t->states[!from] = cw_tls_step(t->sides[!from], bytes, length);
    }
}

static void end(struct talk *t)
{
    cw_tls_free(t->sides[0]);
    cw_tls_free(t->sides[1]);
}

static void both_are_believed(void **state)
{
    uint8_t secrets[2][CW_AUTH_SECRET_BYTES];
    for (size_t piece = 1; piece <= 4096; piece *= 8) {
        struct talk t = begin(&east, "west", "west-1", &west, "east", now);
        run(&t, piece);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(t.states[i], CW_TLS_GOOD);
            cw_tls_secret(t.sides[i], secrets[i]);
            assert_in_range(t.bytes[i], 500, 4000); /* far from what a handshake carries */
        }
        assert_memory_equal(secrets[0], secrets[1], sizeof secrets[0]);
        struct cw_peer *peer = cw_tls_peer(t.sides[0]);
        assert_non_null(strstr(cw_peer_name(peer), "west/west-1 (serial "));
        assert_non_null(strstr(cw_peer_name(peer), west.pair.serial));
        cw_peer_free(peer);
        end(&t);
    }
}

/* Not even the peer that took part in the handshake has the same secret in another session. */
static void the_context_is_part_of_the_secret(void **state)
{
    uint8_t context[CW_AUTH_CONTEXT_BYTES] = {0}, secrets[2][CW_AUTH_SECRET_BYTES];
    struct talk t = {0};
    t.sides[0] = cw_tls_begin(east.certificates, true, "west", "", context, now);
    context[31] = 1;
    t.sides[1] = cw_tls_begin(west.certificates, false, "east", "", context, now);
    (void)cw_tls_step(t.sides[0], NULL, 0);
    run(&t, 4096);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t.states[i], CW_TLS_GOOD);
        cw_tls_secret(t.sides[i], secrets[i]);
    }
    assert_memory_not_equal(secrets[0], secrets[1], sizeof secrets[0]);
    end(&t);
}

/* by: who refuses, 0 the initiator. The other one learns that it was. */
static void expect_refused(struct talk t, int by, enum cw_auth_reason reason, const char *words)
{
    run(&t, 1024);
    assert_int_equal(t.states[by], CW_TLS_REFUSED);
    assert_int_equal(cw_tls_reason(t.sides[by]), reason);
    if (!strstr(cw_tls_words(t.sides[by]), words))
        fail_msg("\"%s\" has no \"%s\"", cw_tls_words(t.sides[by]), words);
    assert_int_equal(t.states[!by], CW_TLS_REFUSED); /* though the initiator may have been GOOD for a while */
    assert_int_equal(cw_tls_reason(t.sides[!by]), CW_AUTH_REFUSED_BY_PEER);
    end(&t);
}

static void an_authority_that_is_not_ours(void **state)
{
    make_node(&other, &theirs, "bank", "west", "west-2", 365);
    expect_refused(begin(&east, "west", "", &other, "east", now), 0, CW_AUTH_OTHER_AUTHORITY, "");
    write_text(other.paths[CW_FILE_AUTHORITY], ours.pair.certificate); /* he trusts us; we do not trust him */
    struct cw_certificate_mistake mistake;
    char warning[CW_TLS_WORDS];
    assert_null(load(&other, &mistake, warning));
    assert_int_equal(mistake.file, CW_FILE_REVOCATIONS);
    expect_refused(begin(&other, "east", "", &west, "west", now), 0, CW_AUTH_OTHER_AUTHORITY, "");
}

static void another_site_or_node(void **state)
{
    make_node(&other, &ours, "bank", "north", "north", 365);
    expect_refused(begin(&east, "west", "", &other, "east", now), 0, CW_AUTH_OTHER_SITE,
                   "north/north of cluster bank; expected west/(any node)");
    expect_refused(begin(&other, "west", "", &west, "east", now), 1, CW_AUTH_OTHER_SITE, "expected east/");
    expect_refused(begin(&east, "west", "west-9", &west, "east", now), 0, CW_AUTH_OTHER_SITE,
                   "expected west/west-9");
    end_node(&other);
    make_node(&other, &ours, "shop", "west", "west-2", 365);
    expect_refused(begin(&east, "west", "", &other, "east", now), 0, CW_AUTH_OTHER_SITE, "cluster shop");
}

/* What `judge` says of one that shows these files, by plain OpenSSL: our own side would not begin with them.
 */
static enum cw_auth_reason judged(const struct node *judge, bool judge_initiates, const struct node *shown,
                                  char words[CW_TLS_WORDS])
{
    static const uint8_t zeros[CW_AUTH_CONTEXT_BYTES];
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    assert_int_equal(
        SSL_CTX_use_certificate_file(context, shown->files[CW_FILE_CERTIFICATE], SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, shown->files[CW_FILE_KEY], SSL_FILETYPE_PEM), 1);
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    judge_initiates ? SSL_set_accept_state(ssl) : SSL_set_connect_state(ssl);
    struct cw_tls *tls = cw_tls_begin(judge->certificates, judge_initiates, shown->site, "", zeros, now);
    enum cw_tls_state state = cw_tls_step(tls, NULL, 0);
    for (int i = 0; i < 4 && state == CW_TLS_WORKING; i++) {
        uint8_t bytes[8192];
        for (size_t n; (n = cw_tls_take(tls, bytes, sizeof bytes)) > 0;)
            assert_int_equal(BIO_write(in, bytes, (int)n), n);
        (void)SSL_do_handshake(ssl);
        int got = BIO_read(out, bytes, sizeof bytes);
        if (got > 0)
            state = cw_tls_step(tls, bytes, (size_t)got);
    }
    enum cw_auth_reason reason = state == CW_TLS_REFUSED ? cw_tls_reason(tls) : CW_AUTH_NO_REASON;
    assert_int_not_equal(state, CW_TLS_WORKING);
    snprintf(words, CW_TLS_WORDS, "%s", cw_tls_words(tls));
    cw_tls_free(tls);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return reason;
}

/* Of the same authority and cluster, with the name of the site, too: at neither end of a session. */
/* A certificate for the client's end alone, as NBD clients and people have them. */
static void believed_by_no_engine(const char *role)
{
    static const char *const no_hosts[] = {NULL};
    struct cw_certificate_subject subject = {
        .cluster = "bank", .site = "", .node = "west", .role = role, .hosts = no_hosts, .days = 365};
    struct cw_certificate_mistake mistake;
    char words[CW_TLS_WORDS];
    struct cw_pair client;
    assert_int_equal(cw_x509_issue(ours.pair.certificate, ours.pair.key, &subject, &client), CW_OK);
    write_text(other.paths[CW_FILE_CERTIFICATE], client.certificate);
    write_text(other.paths[CW_FILE_KEY], client.key);
    cw_pair_free(&client);
    assert_null(load(&other, &mistake, words)); /* our own engine does not even begin with it */
    assert_int_not_equal(judged(&east, false, &other, words), CW_AUTH_NO_REASON);
    assert_int_not_equal(judged(&east, true, &other, words), CW_AUTH_NO_REASON);
    if (strcmp(role, "client") != 0)
        return;
    assert_non_null(strstr(mistake.expected, "one of site west"));
    assert_int_equal(judged(&east, false, &other, words), CW_AUTH_OTHER_SITE);
    assert_non_null(strstr(words, "does not name a site"));
    assert_int_equal(judged(&east, true, &other, words), CW_AUTH_OTHER_SITE);
    assert_non_null(strstr(words, "purpose"));
}

static void a_client_is_no_peer(void **state)
{
    char words[CW_TLS_WORDS];
    make_node(&other, &ours, "bank", "west", "west", 365);
    for (int initiates = 0; initiates < 2; initiates++) /* a node is, by the same way */
        assert_int_equal(judged(&east, initiates, &other, words), CW_AUTH_NO_REASON);
    believed_by_no_engine("client");
    believed_by_no_engine("operator");
    believed_by_no_engine("viewer");
}

static void warned_of_in_time(void **state)
{
    char warning[CW_TLS_WORDS];
    cw_certificates_warn(east.certificates, now + 334 * DAY, warning);
    assert_string_equal(warning, "");
    cw_certificates_warn(east.certificates, now + 336 * DAY, warning);
    assert_non_null(strstr(warning, "ends in 29 days: causeway cert renew east/east"));
    cw_certificates_warn(east.certificates, now + 366 * DAY, warning);
    assert_non_null(strstr(warning, "will be refused: certificate has expired"));
}

static void out_of_its_time(void **state)
{
    make_node(&other, &ours, "bank", "west", "west-2", 10);
    expect_refused(begin(&east, "west", "", &other, "east", now + 11 * DAY), 0, CW_AUTH_EXPIRED, "expired");
    expect_refused(begin(&other, "east", "", &east, "west", now + 11 * DAY), 1, CW_AUTH_EXPIRED, "expired");
    expect_refused(begin(&east, "west", "", &other, "east", now - 2 * DAY), 0, CW_AUTH_NOT_YET_VALID,
                   "not yet valid");
    expect_refused(begin(&east, "west", "", &west, "east", now + 3651 * (int64_t)DAY), 0,
                   CW_AUTH_STALE_REVOCATIONS, "CRL");
}

static void revoke_one(struct authority *by, const struct node *n)
{
    struct cw_revocation *r = &by->revoked[by->revoked_count++];
    memcpy(r->serial, n->pair.serial, sizeof r->serial);
    r->revoked_at = now;
}

static void reload(struct node *n, const char *warns)
{
    struct cw_certificate_mistake mistake;
    char warning[CW_TLS_WORDS];
    write_lists(n);
    cw_certificates_free(n->certificates);
    n->certificates = load(n, &mistake, warning);
    assert_non_null(n->certificates);
    assert_non_null(strstr(warning, warns));
    assert_true(*warns || !*warning);
}

static void revoked_before_and_while_it_lives(void **state)
{
    char words[CW_TLS_WORDS] = "";
    struct talk t = begin(&east, "west", "", &west, "east", now);
    run(&t, 4096);
    struct cw_peer *of_east = cw_tls_peer(t.sides[0]), *of_west = cw_tls_peer(t.sides[1]);
    assert_int_equal(cw_peer_judge(of_east, east.certificates, now, words), CW_AUTH_NO_REASON);
    revoke_one(&ours, &west);
    reload(&east, "");
    end(&t); /* it lived on the certificates before */
    assert_int_equal(cw_peer_judge(of_east, east.certificates, now, words), CW_AUTH_REVOKED);
    assert_non_null(strstr(words, "revoked"));
    assert_int_equal(cw_peer_judge(of_west, west.certificates, now, words), CW_AUTH_NO_REASON);
    assert_int_equal(cw_peer_judge(of_west, west.certificates, now + 366 * DAY, words), CW_AUTH_EXPIRED);
    cw_peer_free(of_east);
    cw_peer_free(of_west);
    expect_refused(begin(&east, "west", "", &west, "east", now), 0, CW_AUTH_REVOKED, "revoked");
    expect_refused(begin(&west, "east", "", &east, "west", now), 1, CW_AUTH_REVOKED, "revoked");
    reload(&west, "revoked"); /* it hears of it itself, and goes on */
}

/* A list from a clock that goes before ours is good. */
static void a_list_made_in_the_future(void **state)
{
    struct talk t = begin(&east, "west", "", &west, "east", now - 200);
    run(&t, 4096);
    assert_int_equal(t.states[0], CW_TLS_GOOD);
    assert_int_equal(t.states[1], CW_TLS_GOOD);
    end(&t);
}

static void bytes_that_are_no_tls(void **state)
{
    static const uint8_t noise[] = "GET / HTTP/1.0\r\n\r\nand a little more of it";
    struct talk t = begin(&east, "west", "", &west, "east", now);
    assert_int_equal(cw_tls_step(t.sides[1], noise, sizeof noise), CW_TLS_REFUSED);
    assert_int_equal(cw_tls_reason(t.sides[1]), CW_AUTH_BROKEN);
    assert_int_equal(cw_tls_step(t.sides[1], noise, sizeof noise), CW_TLS_REFUSED);
    end(&t);
}

/* One flipped bit anywhere in what is said: never a secret that both have. */
static void bits_that_are_flipped(void **state)
{
    for (size_t at = 0; at < 3000; at += 37) {
        struct talk t = begin(&east, "west", "", &west, "east", now);
        size_t said = 0;
        uint8_t bytes[4096], secrets[2][CW_AUTH_SECRET_BYTES] = {{0}, {1}};
        for (int quiet = 0, from = 0; quiet < 2; from = !from) {
            size_t length = cw_tls_take(t.sides[from], bytes, sizeof bytes);
            quiet = length ? 0 : quiet + 1;
            if (at >= said && at < said + length)
                bytes[at - said] ^= 4;
            said += length;
            if (length)
                t.states[!from] = cw_tls_step(t.sides[!from], bytes, length);
        }
        for (int i = 0; i < 2; i++)
            if (t.states[i] == CW_TLS_GOOD)
                cw_tls_secret(t.sides[i], secrets[i]);
        if (at < said)
            assert_memory_not_equal(secrets[0], secrets[1], sizeof secrets[0]);
        end(&t);
    }
}

/* ---- files ---- */

static void expect_mistake(const struct node *n, enum cw_certificate_file file, const char *words)
{
    struct cw_certificate_mistake mistake;
    char warning[CW_TLS_WORDS];
    assert_null(load(n, &mistake, warning));
    assert_int_equal(mistake.file, file);
    if (!strstr(mistake.expected, words))
        fail_msg("\"%s\" has no \"%s\"", mistake.expected, words);
}

static void files_that_are_wrong(void **state)
{
    struct node wrong = west;
    wrong.site = "east";
    expect_mistake(&wrong, CW_FILE_CERTIFICATE, "causeway cert issue east/west-1");
    for (int i = 0; i < CW_FILE_COUNT; i++) {
        wrong = west;
        wrong.files[i] = "/nowhere/file.pem";
        expect_mistake(&wrong, (enum cw_certificate_file)i, "");
        wrong.files[i] = i == CW_FILE_KEY ? east.paths[i] : west.paths[(i + 1) % 2 * 3];
        if (i != CW_FILE_REVOCATIONS)
            expect_mistake(&wrong, (enum cw_certificate_file)i, "");
    }
    wrong = west;
    wrong.files[CW_FILE_REVOCATIONS] = west.paths[CW_FILE_CERTIFICATE];
    expect_mistake(&wrong, CW_FILE_REVOCATIONS, "there is none in it");
    make_node(&other, &theirs, "bank", "west", "west-1", 365); /* over the files of west */
    wrong = other;
    write_text(other.paths[CW_FILE_AUTHORITY], ours.pair.certificate);
    expect_mistake(&wrong, CW_FILE_REVOCATIONS, "not signed by it");
    wrong.by = &ours;
    write_lists(&wrong);
    expect_mistake(&wrong, CW_FILE_CERTIFICATE, "signed by the authority of this node");
}

/* Copied together with a list: the list works, and our sessions go on with the pair that we have. */
static void a_pair_that_is_wrong_keeps_no_list_out(void **state)
{
    char words[CW_TLS_WORDS] = "";
    make_node(&other, &ours, "bank", "west", "west-2", 365);
    struct talk t = begin(&east, "west", "", &west, "east", now);
    run(&t, 4096);
    struct cw_peer *peer = cw_tls_peer(t.sides[0]);
    end(&t);
    revoke_one(&ours, &west);
    write_lists(&east);
    write_text(east.paths[CW_FILE_KEY], west.pair.key);
    expect_mistake(&east, CW_FILE_KEY, "private key");
    struct cw_certificates *fresh = cw_certificates_keep_pair(east.certificates, east.files, now);
    assert_non_null(fresh);
    cw_certificates_free(east.certificates);
    east.certificates = fresh;
    assert_int_equal(cw_peer_judge(peer, fresh, now, words), CW_AUTH_REVOKED);
    cw_peer_free(peer);
    expect_refused(begin(&east, "west", "", &west, "east", now), 0, CW_AUTH_REVOKED, "revoked");
    t = begin(&east, "west", "", &other, "east", now);
    run(&t, 4096);
    assert_int_equal(t.states[0], CW_TLS_GOOD);
    assert_int_equal(t.states[1], CW_TLS_GOOD);
    end(&t);
    write_text(east.paths[CW_FILE_AUTHORITY],
               theirs.pair.certificate); /* no list of it, and not our pair's */
    assert_null(cw_certificates_keep_pair(east.certificates, east.files, now));
    east.by = &theirs;
    write_lists(&east);
    assert_null(cw_certificates_keep_pair(east.certificates, east.files, now));
}

/* Not only when the configuration is read: also a key that was copied later. */
static void a_key_that_others_may_read(void **state)
{
    assert_int_equal(chmod(west.paths[CW_FILE_KEY], 0640), 0);
    expect_mistake(&west, CW_FILE_KEY, "chmod 600; it is 0640");
    assert_int_equal(chmod(west.paths[CW_FILE_KEY], 0602), 0);
    expect_mistake(&west, CW_FILE_KEY, "chmod 600; it is 0602");
    assert_int_equal(chmod(west.paths[CW_FILE_KEY], 0400), 0);
    reload(&west, "");
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(both_are_believed),
        STORY(the_context_is_part_of_the_secret),
        STORY(an_authority_that_is_not_ours),
        STORY(another_site_or_node),
        STORY(a_client_is_no_peer),
        STORY(warned_of_in_time),
        STORY(out_of_its_time),
        STORY(revoked_before_and_while_it_lives),
        STORY(a_list_made_in_the_future),
        STORY(bytes_that_are_no_tls),
        STORY(bits_that_are_flipped),
        STORY(files_that_are_wrong),
        STORY(a_pair_that_is_wrong_keeps_no_list_out),
        STORY(a_key_that_others_may_read),
    };
    return cmocka_run_group_tests_name("io/tls", tests, NULL, NULL);
}
