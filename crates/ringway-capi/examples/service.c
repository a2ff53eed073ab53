/* One process answers calls, another calls:  service serve shm:upper  and  service call shm:upper hello  */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ringway.h"

static ringway_interrupter_t *interrupter;

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ringway_last_error());
    return 1;
}

static void stop(int signal)
{
    (void)signal;
    ringway_interrupt(interrupter);
}

/* Until a signal ends it. */
static int serve(const char *address)
{
    ringway_server_t *server;
    ringway_request_t request;
    int result;
    if (ringway_serve(address, NULL, &server) < 0 || ringway_server_interrupter(server, &interrupter) < 0)
        return failed("serve");
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    puts("ready");
    fflush(stdout);
    while ((result = ringway_server_next(server, &request, RINGWAY_FOREVER)) == 0) {
        char answer[1000];
        const unsigned char *text = request.data;
        if (request.len > sizeof answer) {
            ringway_fail(server, 1, "too long", 8);
            continue;
        }
        for (size_t i = 0; i < request.len; i++)
            answer[i] = (char)toupper(text[i]);
        /* That the caller has gone is no reason to end. */
        result = ringway_answer(server, answer, request.len);
        if (result < 0 && result != RINGWAY_CANCELLED)
            break;
    }
    if (result != RINGWAY_INTERRUPTED)
        return failed("next");
    /* What is on its way to callers gets there. */
    ringway_server_finish(server, 1000000000);
    ringway_server_free(server);
    ringway_interrupter_free(interrupter);
    return 0;
}

static int call(const char *address, const char *text)
{
    ringway_connect_options_t options = RINGWAY_CONNECT_OPTIONS_INIT;
    ringway_client_t *client;
    ringway_answer_t answer;
    options.wait_ns = 5000000000;
    if (ringway_connect(address, &options, &client) < 0)
        return failed("connect");
    if (ringway_call(client, text, strlen(text), &answer, RINGWAY_FOREVER) < 0)
        return failed("call");
    printf("%.*s\n", (int)answer.len, (const char *)answer.data);
    ringway_client_free(client);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    if (argc == 4 && strcmp(argv[1], "call") == 0)
        return call(argv[2], argv[3]);
    fprintf(stderr, "usage: service serve ADDRESS | service call ADDRESS TEXT\n");
    return 2;
}
