/* Each call of ringway.h about services does what the header says.
 *
 * services all ADDRESS: in one process, with a thread that serves.
 * services serve ADDRESS, services call ADDRESS: until it is killed; each says what it has done. */
#define _GNU_SOURCE
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringway.h"

#define MUST(call)                                                                                          \
    do {                                                                                                    \
        long long result_ = (call);                                                                         \
        if (result_ < 0) {                                                                                  \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, ringway_error_name(result_), \
                    ringway_last_error());                                                                  \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

#define IS(call, expected)                                                                                  \
    do {                                                                                                    \
        long long result_ = (call);                                                                         \
        if (result_ != (long long)(expected)) {                                                             \
            fprintf(stderr, "%s:%d: %s is %lld and not %lld: %s\n", __FILE__, __LINE__, #call, result_,     \
                    (long long)(expected), ringway_last_error());                                           \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

#define LONG 100000

static const int64_t SECOND = 1000000000;
static char *text;

static int is(ringway_answer_t answer, const void *bytes, size_t len)
{
    return answer.len == len && memcmp(answer.data, bytes, len) == 0;
}

/* Serves what it is asked for, until it is asked to end. */
static void *work(void *argument)
{
    ringway_server_t *server = argument;
    for (;;) {
        ringway_request_t request;
        MUST(ringway_server_next(server, &request, RINGWAY_FOREVER));
        char what = request.len > 0 ? *(const char *)request.data : 'e';
        switch (what) {
        case 'e':
            MUST(ringway_answer(server, request.data, request.len));
            break;
        case 'f':
            MUST(ringway_fail(server, 7, "on purpose", 10));
            break;
        case 'p':
            MUST(ringway_send_part(server, "one", 3));
            MUST(ringway_send_part(server, text, LONG));
            MUST(ringway_send_part(server, "", 0));
            MUST(ringway_end_answer(server));
            break;
        case 'c':
            while (ringway_request_is_cancelled(server) == 0)
                usleep(100);
            IS(ringway_send_part(server, "x", 1), RINGWAY_CANCELLED);
            IS(ringway_answer(server, "x", 1), RINGWAY_CANCELLED);
            break;
        case 'l':
            MUST(ringway_let_go(server));
            break;
        default:
            assert(what == 'q' && request.left_ns > 0 && request.left_ns <= 60 * SECOND && !request.is_repeated);
            MUST(ringway_answer(server, NULL, 0));
            IS(ringway_server_finish(server, 60 * SECOND), 1);
            return NULL;
        }
    }
}

static void calls(ringway_server_t *server, ringway_client_t *client)
{
    pthread_t thread;
    ringway_answer_t answer;
    size_t len = 0;
    assert(pthread_create(&thread, NULL, work, server) == 0);
    MUST(ringway_call(client, "echo", 4, &answer, 60 * SECOND));
    assert(is(answer, "echo", 4));
    MUST(ringway_call(client, NULL, 0, &answer, RINGWAY_FOREVER));
    assert(is(answer, "", 0));
    MUST(ringway_call(client, text, LONG, &answer, RINGWAY_FOREVER));
    assert(is(answer, text, LONG));
    IS(ringway_call(client, "fail", 4, &answer, RINGWAY_FOREVER), RINGWAY_FAILED);
    IS(ringway_last_status(), 7);
    assert(memcmp(ringway_last_failure(&len), "on purpose", 10) == 0 && len == 10);
    assert(strstr(ringway_last_error(), "on purpose"));
    IS(ringway_call(client, "let go", 6, &answer, RINGWAY_FOREVER), RINGWAY_LET_GO);
    IS(ringway_last_status(), 0);
    assert(ringway_last_failure(&len) && len == 0);
    IS(ringway_call(client, "cancel", 6, &answer, 1000000), RINGWAY_TIMED_OUT);

    IS(ringway_next_part(client, &answer, RINGWAY_NOW), RINGWAY_INVALID);
    IS(ringway_client_arm(client), RINGWAY_INVALID);
    for (int round = 0; round < 2; round++) {
        int descriptor = ringway_client_descriptor(client);
        MUST(descriptor);
        MUST(ringway_call_begin(client, "parts", 5, 60 * SECOND));
        IS(ringway_call(client, "echo", 4, &answer, RINGWAY_FOREVER), RINGWAY_BUSY);
        const char *parts[] = {"one", text, ""};
        size_t lens[] = {3, LONG, 0};
        for (int part = 0; part < 4; part++) {
            int result = RINGWAY_EMPTY;
            while (result == RINGWAY_EMPTY) {
                /* It waits in the call, or with the descriptor. */
                result = ringway_next_part(client, &answer, round ? RINGWAY_NOW : 60 * SECOND);
                if (result == RINGWAY_EMPTY && ringway_client_arm(client) == 1) {
                    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
                    assert(poll(&watched, 1, 60000) == 1);
                    MUST(ringway_client_disarm(client));
                }
            }
            IS(result, part < 3);
            assert(part == 3 || is(answer, parts[part], lens[part]));
        }
        IS(ringway_next_part(client, &answer, RINGWAY_NOW), RINGWAY_INVALID);
    }
    MUST(ringway_call_begin(client, "cancel", 6, RINGWAY_FOREVER));
    IS(ringway_next_part(client, &answer, 1000000), RINGWAY_EMPTY);
    MUST(ringway_call_cancel(client));
    MUST(ringway_call_cancel(client));
    MUST(ringway_call(client, "quit", 4, &answer, 60 * SECOND));
    assert(pthread_join(thread, NULL) == 0);
}

static void *interrupt(void *interrupter)
{
    ringway_interrupt(interrupter);
    return NULL;
}

static void waits(ringway_server_t *server, ringway_client_t *client)
{
    ringway_request_t request;
    ringway_answer_t answer;
    ringway_interrupter_t *interrupter;
    pthread_t thread;
    IS(ringway_server_next(server, &request, RINGWAY_NOW), RINGWAY_EMPTY);
    IS(ringway_server_next(server, &request, 1000), RINGWAY_TIMED_OUT);
    IS(ringway_answer(server, "x", 1), RINGWAY_INVALID);
    MUST(ringway_server_interrupter(server, &interrupter));
    assert(pthread_create(&thread, NULL, interrupt, interrupter) == 0);
    IS(ringway_server_next(server, &request, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    assert(pthread_join(thread, NULL) == 0);
    ringway_interrupter_free(interrupter);
    MUST(ringway_client_interrupter(client, &interrupter));
    assert(pthread_create(&thread, NULL, interrupt, interrupter) == 0);
    IS(ringway_call(client, "echo", 4, &answer, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    assert(pthread_join(thread, NULL) == 0);
    /* Of a call that is taken by parts it ends the wait, and not the call. */
    MUST(ringway_call_begin(client, "echo", 4, RINGWAY_FOREVER));
    ringway_interrupt(interrupter);
    IS(ringway_next_part(client, &answer, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    ringway_interrupter_free(interrupter);

    int descriptor = ringway_server_descriptor(server);
    MUST(descriptor);
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    IS(ringway_server_arm(server), 0);
    MUST(ringway_server_next(server, &request, RINGWAY_NOW));
    assert(request.len == 4 && request.left_ns == RINGWAY_FOREVER);
    IS(ringway_server_next(server, &request, RINGWAY_NOW), RINGWAY_BUSY);
    IS(ringway_server_arm(server), RINGWAY_BUSY);
    MUST(ringway_answer(server, request.data, request.len));
    IS(ringway_next_part(client, &answer, RINGWAY_FOREVER), 1);
    assert(is(answer, "echo", 4));
    IS(ringway_next_part(client, &answer, RINGWAY_FOREVER), 0);
    IS(ringway_server_arm(server), 1);
    assert(poll(&watched, 1, 0) == 0);
    MUST(ringway_call_begin(client, "more", 4, RINGWAY_FOREVER));
    assert(poll(&watched, 1, 60000) == 1);
    MUST(ringway_server_disarm(server));
    MUST(ringway_server_next(server, &request, RINGWAY_NOW));
    MUST(ringway_let_go(server));
    IS(ringway_next_part(client, &answer, RINGWAY_FOREVER), RINGWAY_LET_GO);
}

static void forks(ringway_server_t *server, ringway_client_t *client)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        ringway_request_t request;
        ringway_answer_t answer;
        /* What it inherits refers to nothing here. */
        IS(ringway_server_next(server, &request, RINGWAY_FOREVER), RINGWAY_FORKED);
        IS(ringway_call(client, "echo", 4, &answer, RINGWAY_FOREVER), RINGWAY_FORKED);
        ringway_client_free(client);
        ringway_server_free(server);
        _exit(0);
    }
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int all(const char *address)
{
    ringway_serve_options_t serve = RINGWAY_SERVE_OPTIONS_INIT;
    ringway_connect_options_t connect = RINGWAY_CONNECT_OPTIONS_INIT;
    ringway_server_t *server, *second;
    ringway_client_t *client, *other;
    ringway_answer_t answer;
    char where[200];
    text = malloc(LONG);
    memset(text, 'e', LONG);
    IS(ringway_connect(address, NULL, &client), RINGWAY_NOT_FOUND);
    connect.wait_ns = 1000;
    IS(ringway_connect(address, &connect, &client), RINGWAY_TIMED_OUT);
    serve.clients = 2;
    serve.max_request = LONG;
    serve.spin_ns = RINGWAY_PARK;
    MUST(ringway_serve(address, &serve, &server));
    IS(ringway_server_address(server, where, sizeof where), strlen(address));
    assert(strcmp(where, address) == 0 && ringway_server_clients(server) >= 2);
    serve.clients = 1000;
    IS(ringway_serve(address, &serve, &second), RINGWAY_INCOMPATIBLE);
    serve.patience_ns = SECOND;
    serve.persistent = 5;
    IS(ringway_serve(address, &serve, &second), RINGWAY_INVALID);
    MUST(ringway_server_another(server, &second));
    ringway_server_free(second);
    connect.wait_ns = SECOND;
    connect.max_answer = LONG;
    MUST(ringway_connect(address, &connect, &client));
    IS(ringway_client_servers(client), 1);
    IS(ringway_client_address(client, where, sizeof where), strlen(address));
    MUST(ringway_client_another(client, &other));
    IS(ringway_call(other, text, LONG + 1, &answer, 1), RINGWAY_TIMED_OUT);
    ringway_client_free(other);
    calls(server, client);
    waits(server, client);
    forks(server, client);
    MUST(ringway_call_begin(client, "never", 5, RINGWAY_FOREVER));
    ringway_server_free(server);
    IS(ringway_next_part(client, &answer, RINGWAY_FOREVER), RINGWAY_NO_SERVER);
    ringway_client_free(client);
    ringway_server_free(NULL);
    ringway_client_free(NULL);
    MUST(ringway_remove(address, true));
    free(text);
    puts("done");
    return 0;
}

static int serve_until_killed(const char *address)
{
    ringway_server_t *server;
    ringway_request_t request;
    MUST(ringway_serve(address, NULL, &server));
    puts("ready");
    for (;;) {
        MUST(ringway_server_next(server, &request, RINGWAY_FOREVER));
        if (request.len == 4 && memcmp(request.data, "stay", 4) == 0) {
            puts(request.is_repeated ? "stays again" : "stays");
            pause();
        }
        int result = ringway_answer(server, request.data, request.len);
        if (result != RINGWAY_CANCELLED)
            MUST(result);
    }
}

static int call_until_killed(const char *address)
{
    ringway_connect_options_t options = RINGWAY_CONNECT_OPTIONS_INIT;
    ringway_client_t *client;
    ringway_answer_t answer;
    options.wait_ns = RINGWAY_FOREVER;
    MUST(ringway_connect(address, &options, &client));
    puts("ready");
    for (;;)
        MUST(ringway_call(client, "hello", 5, &answer, RINGWAY_FOREVER));
}

int main(int argc, char **argv)
{
    assert(argc == 3);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(argv[1], "all") == 0)
        return all(argv[2]);
    return strcmp(argv[1], "serve") == 0 ? serve_until_killed(argv[2]) : call_until_killed(argv[2]);
}
