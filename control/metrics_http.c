/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The endpoint of metrics.h. Under the lock: the text, what is asked of the loop, who is connected.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/numbers.h"
#include "control/controller.h"
#include "control/metrics.h"

#define CONNECTIONS_MAX  64u             /* libmicrohttpd's limit */
#define CONNECTIONS_FEW  32u             /* above it the oldest makes room */
#define CONNECTION_BYTES 16384u          /* of memory for a request's head; a longer one is refused */
#define LIFE_NS          (5 * CW_SECOND) /* of a connection, which is one request */
#define IDLE_SECONDS     3u
#define FRESH_NS         (200 * CW_MS) /* a text that is younger is not made anew */
#define WAIT_NS          (500 * CW_MS) /* for the loop to make one */
#define LOOK_NS          (1 * CW_SECOND)
#define FILE_MAX         (64u * 1024u)
#define TOKEN_MIN        16u
#define TOKEN_SIZE       256u

/* Sent by any number of answers at a time; the last one frees it. */
struct text {
    atomic_uint references;
    uint64_t composed_ns, took_ns;
    size_t length;
    char *bytes;
};

struct visitor {
    int fd; /* -1: free */
    uint64_t began_ns;
};

enum { FILE_CERTIFICATE = 0, FILE_KEY, FILE_TOKEN, FILES };

struct cw_metrics {
    struct MHD_Daemon *daemon; /* NULL: its certificate cannot be used */
    int listen_fd, wake_fd;
    bool is_tls, has_token;
    const char *files[FILES]; /* "": not used */
    struct cw_file_stamp used[FILES], seen[FILES];
    uint64_t look_ns;
    pthread_mutex_t lock;
    pthread_cond_t composed;
    struct text *text;      /* the last one; NULL */
    char token[TOKEN_SIZE]; /* "", and zeros behind it: nobody is answered */
    bool is_stopping;
    struct visitor visitors[CONNECTIONS_MAX];
};

/* ---------------------------------------------------------------- texts */

static void drop_text(struct text *text)
{
    if (!text || atomic_fetch_sub_explicit(&text->references, 1, memory_order_acq_rel) != 1)
        return;
    free(text->bytes);
    free(text);
}

/* With the lock. */
static bool is_fresh(const struct cw_metrics *metrics, uint64_t now_ns)
{
    return metrics->text && now_ns - metrics->text->composed_ns < FRESH_NS;
}

/* The daemon's thread: a fresh text, or the last one when the loop does not come to it; NULL: there is none
 * yet. */
static struct text *take_text(struct cw_metrics *metrics)
{
    uint64_t one = 1, until_ns = cw_monotonic_ns() + WAIT_NS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / CW_SECOND),
                             .tv_nsec = (long)(until_ns % CW_SECOND)};
    pthread_mutex_lock(&metrics->lock);
    if (!is_fresh(metrics, cw_monotonic_ns()) && write(metrics->wake_fd, &one, sizeof one) < 0)
        metrics->is_stopping = true; /* it takes any number: cannot be */
    while (!metrics->is_stopping && !is_fresh(metrics, cw_monotonic_ns()) &&
           pthread_cond_timedwait(&metrics->composed, &metrics->lock, &until) == 0)
        ;
    struct text *text = metrics->text;
    if (text)
        atomic_fetch_add_explicit(&text->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&metrics->lock);
    return text;
}

/* The loop's thread. */
static void publish(struct cw_metrics *metrics, struct text *text)
{
    pthread_mutex_lock(&metrics->lock);
    struct text *before = metrics->text;
    metrics->text = text;
    pthread_cond_broadcast(&metrics->composed);
    pthread_mutex_unlock(&metrics->lock);
    drop_text(before);
}

void cw_metrics_fill(const struct cw_controller *controller, struct pollfd *fd)
{
    *fd = (struct pollfd){.fd = controller->metrics ? controller->metrics->wake_fd : -1, .events = POLLIN};
}

void cw_metrics_drain(struct cw_controller *controller, const struct pollfd *fd)
{
    uint64_t asked;
    if (!fd->revents || read(controller->metrics->wake_fd, &asked, sizeof asked) < 0)
        return;
    struct text *text = calloc(1, sizeof *text);
    if (!text)
        return;
    uint64_t began_ns = cw_monotonic_ns();
    atomic_init(&text->references, 1);
    text->bytes = cw_metrics_compose(controller, &text->length);
    text->composed_ns = cw_monotonic_ns();
    text->took_ns = text->composed_ns - began_ns;
    if (text->bytes)
        publish(controller->metrics, text);
    else
        drop_text(text);
}

/* ---------------------------------------------------------------- answers */

struct answer {
    struct text *text;
    char tail[512]; /* what only the moment of sending knows */
};

static void free_answer(void *context)
{
    struct answer *answer = context;
    drop_text(answer->text);
    free(answer);
}

static struct MHD_Response *response_of(struct text *text)
{
    struct answer *answer = malloc(sizeof *answer);
    if (!answer) {
        drop_text(text);
        return NULL;
    }
    answer->text = text;
    snprintf(answer->tail, sizeof answer->tail,
             "# HELP causeway_metrics_age_seconds How old what is answered here is.\n"
             "# TYPE causeway_metrics_age_seconds gauge\n"
             "causeway_metrics_age_seconds %.3f\n"
             "# HELP causeway_metrics_compose_seconds How long the controller's loop took to make it.\n"
             "# TYPE causeway_metrics_compose_seconds gauge\n"
             "causeway_metrics_compose_seconds %.6f\n",
             (double)(cw_monotonic_ns() - text->composed_ns) / 1e9, (double)text->took_ns / 1e9);
    const struct MHD_IoVec parts[] = {{.iov_base = text->bytes, .iov_len = text->length},
                                      {.iov_base = answer->tail, .iov_len = strlen(answer->tail)}};
    struct MHD_Response *response =
        MHD_create_response_from_iovec(parts, CW_COUNT_OF(parts), free_answer, answer);
    if (!response)
        free_answer(answer);
    else
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                "text/plain; version=0.0.4; charset=utf-8");
    return response;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned code,
                                     struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (code == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_words(struct MHD_Connection *connection, unsigned code, const char *words)
{
    char line[200];
    snprintf(line, sizeof line, "%s\n", words);
    return send_response(connection, code,
                         MHD_create_response_from_buffer(strlen(line), line, MHD_RESPMEM_MUST_COPY));
}

/* "Bearer TOKEN", compared in a time that tells nothing of where it differs. */
static bool may_look(struct cw_metrics *metrics, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const char *shown =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    char token[TOKEN_SIZE] = ""; /* compared with all that is behind its end */
    if (!shown || strncasecmp(shown, scheme, sizeof scheme - 1) != 0 ||
        strlen(shown) - (sizeof scheme - 1) >= sizeof token)
        return false;
    snprintf(token, sizeof token, "%s", shown + sizeof scheme - 1);
    pthread_mutex_lock(&metrics->lock);
    bool may = metrics->token[0] && CRYPTO_memcmp(token, metrics->token, sizeof token) == 0;
    pthread_mutex_unlock(&metrics->lock);
    return may;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    struct cw_metrics *metrics = context;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    if (metrics->has_token && !may_look(metrics, connection))
        return send_words(connection, MHD_HTTP_UNAUTHORIZED,
                          "the token of metrics_token is wanted: Authorization: Bearer TOKEN");
    if (strcmp(url, "/metrics") != 0)
        return send_words(connection, MHD_HTTP_NOT_FOUND, "what there is here is at /metrics");
    struct text *text = take_text(metrics);
    if (!text)
        return send_words(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the controller has not come to it yet");
    return send_response(connection, MHD_HTTP_OK, response_of(text));
}

/* ---------------------------------------------------------------- who is connected */

/* With the lock. The daemon closes it when it sees that nothing comes any more. */
static void end_visit(struct visitor *visitor)
{
    (void)shutdown(visitor->fd, SHUT_RDWR);
    visitor->began_ns = UINT64_MAX; /* once */
}

/* With the lock. */
static void make_room(struct cw_metrics *metrics)
{
    struct visitor *oldest = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct visitor *visitor = &metrics->visitors[i];
        if (visitor->fd < 0 || visitor->began_ns == UINT64_MAX)
            continue;
        count++;
        if (!oldest || visitor->began_ns < oldest->began_ns)
            oldest = visitor;
    }
    if (count > CONNECTIONS_FEW)
        end_visit(oldest);
}

static void welcome(struct cw_metrics *metrics, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct visitor *visitor = NULL;
    for (uint32_t i = 0; i < CONNECTIONS_MAX && !visitor; i++)
        visitor = metrics->visitors[i].fd < 0 ? &metrics->visitors[i] : NULL;
    CW_ASSERT(visitor && info && "there are no more connections than visitors");
    *visitor = (struct visitor){.fd = info->connect_fd, .began_ns = cw_monotonic_ns()};
    *context = visitor;
    make_room(metrics);
}

/* The daemon tells of the end before it closes the socket. */
static void on_connection(void *context, struct MHD_Connection *connection, void **of_connection,
                          enum MHD_ConnectionNotificationCode what)
{
    struct cw_metrics *metrics = context;
    struct visitor *visitor = *of_connection;
    pthread_mutex_lock(&metrics->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        welcome(metrics, connection, of_connection);
    else if (visitor)
        visitor->fd = -1;
    pthread_mutex_unlock(&metrics->lock);
}

static void end_long_visits(struct cw_metrics *metrics, uint64_t now_ns)
{
    pthread_mutex_lock(&metrics->lock);
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct visitor *visitor = &metrics->visitors[i];
        if (visitor->fd >= 0 && visitor->began_ns < now_ns && now_ns - visitor->began_ns > LIFE_NS)
            end_visit(visitor);
    }
    pthread_mutex_unlock(&metrics->lock);
}

/* ---------------------------------------------------------------- the daemon */

static void stop_daemon(struct cw_metrics *metrics)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->is_stopping = true; /* its thread may be waiting for us */
    pthread_cond_broadcast(&metrics->composed);
    pthread_mutex_unlock(&metrics->lock);
    if (metrics->daemon) {
        /* Else it shuts the listening socket down, for the next one too. */
        int fd = MHD_quiesce_daemon(metrics->daemon);
        MHD_stop_daemon(metrics->daemon);
        if (fd >= 0)
            close(fd);
    }
    metrics->daemon = NULL;
    pthread_mutex_lock(&metrics->lock);
    metrics->is_stopping = false;
    pthread_mutex_unlock(&metrics->lock);
}

/* A file's text, which the caller frees; NULL. */
static char *read_text(const char *file)
{
    char *text = malloc(FILE_MAX);
    FILE *from = text ? fopen(file, "re") : NULL;
    size_t length = from ? fread(text, 1, FILE_MAX, from) : FILE_MAX;
    if (from)
        fclose(from);
    if (length == 0 || length >= FILE_MAX) {
        free(text);
        return NULL;
    }
    text[length] = 0;
    return text;
}

static void drop_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static struct MHD_Daemon *start_with(struct cw_metrics *metrics, int fd, unsigned flags,
                                     const struct MHD_OptionItem *more)
{
    return MHD_start_daemon(flags | MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request,
                            metrics, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                            CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                            MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_NOTIFY_CONNECTION,
                            on_connection, metrics, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static struct MHD_Daemon *start_tls(struct cw_metrics *metrics, int fd)
{
    struct MHD_Daemon *daemon = NULL;
    char *certificate = read_text(metrics->files[FILE_CERTIFICATE]),
         *key = read_text(metrics->files[FILE_KEY]);
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3"},
        {MHD_OPTION_END, 0, NULL}};
    if (certificate && key)
        daemon = start_with(metrics, fd, MHD_USE_TLS, options);
    free(certificate);
    drop_secret(key);
    return daemon;
}

/* In the place of one that runs, which goes on when the new one does not start. */
static bool start_daemon(struct cw_metrics *metrics)
{
    static const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    int fd = fcntl(metrics->listen_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return false;
    struct MHD_Daemon *daemon = metrics->is_tls ? start_tls(metrics, fd) : start_with(metrics, fd, 0, none);
    if (!daemon) {
        close(fd);
        return false;
    }
    stop_daemon(metrics);
    metrics->daemon = daemon;
    return true;
}

/* ---------------------------------------------------------------- files */

/* The file's one line into token, which is empty before; false, with words. */
static bool read_token(const char *file, char token[TOKEN_SIZE], char *why, size_t why_size)
{
    struct stat about = {0};
    char *text = read_text(file);
    size_t length = text ? strcspn(text, "\r\n") : 0;
    bool is_private = stat(file, &about) == 0 && (about.st_mode & 077) == 0;
    bool is_good = is_private && length >= TOKEN_MIN && length < TOKEN_SIZE;
    for (size_t i = 0; is_good && i < length; i++)
        is_good = text[i] > ' ' && text[i] < 0x7f;
    if (is_good)
        memcpy(token, text, length);
    else
        snprintf(why, why_size,
                 text && !is_private ? "%s: expected a file that only its owner may read (chmod 600)"
                                     : "%s: expected one line of 16 to 255 letters and digits",
                 file);
    drop_secret(text);
    return is_good;
}

/* A token that cannot be read lets nobody in: it may have been taken away because somebody knows it. */
static void load_token(struct cw_controller *controller)
{
    struct cw_metrics *metrics = controller->metrics;
    char token[TOKEN_SIZE] = "", why[CW_STORE_PATH_SIZE + 100];
    if (!read_token(metrics->files[FILE_TOKEN], token, why, sizeof why))
        cw_event(controller, 2, "", "metrics_token: nobody is answered: %s", why);
    pthread_mutex_lock(&metrics->lock);
    memcpy(metrics->token, token, sizeof metrics->token);
    pthread_mutex_unlock(&metrics->lock);
    explicit_bzero(token, sizeof token);
}

static void load_files(struct cw_controller *controller)
{
    struct cw_metrics *metrics = controller->metrics;
    static_assert(FILE_CERTIFICATE + 1 == FILE_KEY, "what is of the pair stands together");
    bool is_running = metrics->daemon != NULL;
    bool is_pair_new = memcmp(&metrics->used[FILE_CERTIFICATE], &metrics->seen[FILE_CERTIFICATE],
                              2 * sizeof metrics->used[0]) != 0;
    memcpy(metrics->used, metrics->seen, sizeof metrics->used);
    if (metrics->has_token)
        load_token(controller);
    if (metrics->is_tls && (is_pair_new || !is_running) && !start_daemon(metrics))
        cw_event(controller, 2, "", "metrics_address: TLS does not start with %s and %s%s",
                 metrics->files[FILE_CERTIFICATE], metrics->files[FILE_KEY],
                 is_running ? "; those that were read before stay in use" : ": no metrics are served");
}

static bool stamp_files(struct cw_metrics *metrics)
{
    bool is_same = true;
    for (uint32_t i = 0; i < FILES; i++) {
        struct stat about = {0};
        if (*metrics->files[i])
            (void)stat(metrics->files[i], &about);
        struct cw_file_stamp now = {.seconds = about.st_mtim.tv_sec,
                                    .nanoseconds = about.st_mtim.tv_nsec,
                                    .size = about.st_size,
                                    .inode = about.st_ino};
        is_same = is_same && memcmp(&now, &metrics->seen[i], sizeof now) == 0;
        metrics->seen[i] = now;
    }
    return is_same;
}

void cw_metrics_tick(struct cw_controller *controller)
{
    struct cw_metrics *metrics = controller->metrics;
    if (!metrics)
        return;
    end_long_visits(metrics, controller->now_ns);
    if (controller->now_ns < metrics->look_ns)
        return;
    metrics->look_ns = controller->now_ns + LOOK_NS;
    /* One that is being copied is read when it has not changed from one look to the next. */
    if (stamp_files(metrics) && memcmp(metrics->used, metrics->seen, sizeof metrics->used) != 0)
        load_files(controller);
}

/* ---------------------------------------------------------------- start and stop */

static struct cw_metrics *new_metrics(int listen_fd)
{
    pthread_condattr_t attributes;
    struct cw_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return NULL;
    metrics->listen_fd = listen_fd;
    metrics->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
        metrics->visitors[i].fd = -1;
    pthread_mutex_init(&metrics->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&metrics->composed, &attributes);
    pthread_condattr_destroy(&attributes);
    return metrics;
}

int cw_metrics_start(struct cw_controller *controller)
{
    const struct cw_config_address *address = &controller->config.metrics_address;
    if (address->port == 0)
        return 0;
    int fd = cw_links_listen(address);
    struct cw_metrics *metrics = fd < 0 ? NULL : new_metrics(fd);
    if (!metrics || metrics->wake_fd < 0) {
        fprintf(stderr, "metrics_address: %s\n", strerror(errno));
        return 1;
    }
    controller->metrics = metrics;
    metrics->is_tls = !cw_config_address_is_loopback(address);
    metrics->has_token = controller->config.metrics_token[0] != 0;
    metrics->files[FILE_CERTIFICATE] =
        metrics->is_tls ? controller->config.security.files[CW_LINK_CERTIFICATE] : "";
    metrics->files[FILE_KEY] = metrics->is_tls ? controller->config.security.files[CW_LINK_KEY] : "";
    metrics->files[FILE_TOKEN] = controller->config.metrics_token;
    (void)stamp_files(metrics);
    load_files(controller); /* what is wrong with them is told, and mended without a new start */
    if (metrics->is_tls || start_daemon(metrics))
        return 0;
    fprintf(stderr, "metrics_address: libmicrohttpd does not start\n");
    return 1;
}

void cw_metrics_stop(struct cw_controller *controller)
{
    struct cw_metrics *metrics = controller->metrics;
    if (!metrics)
        return;
    stop_daemon(metrics);
    explicit_bzero(metrics->token, sizeof metrics->token);
    drop_text(metrics->text);
    close(metrics->listen_fd);
    close(metrics->wake_fd);
    pthread_cond_destroy(&metrics->composed);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
    controller->metrics = NULL;
}
