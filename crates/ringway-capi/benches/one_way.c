/* Messages of 64 bytes, one a call:  one_way send|recv ADDRESS COUNT,  or there and back in this process:  one_way turns COUNT  */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ringway.h"

enum { LEN = 64 };

static inline void must(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", ringway_error_name(result), ringway_last_error());
        exit(1);
    }
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
    char bytes[LEN] = {7};
    size_t len;
    ringway_ring_t *ring;
    ringway_sender_t *sender = NULL;
    ringway_receiver_t *receiver = NULL;
    if (argc < 3)
        return 2;
    long count = atol(argv[argc - 1]);
    if (strcmp(argv[1], "turns") == 0)
        must(ringway_create("memfd:", NULL, &ring));
    else
        must(ringway_open(argv[2], NULL, &ring));
    if (argv[1][0] != 'r')
        must(ringway_ring_sender(ring, NULL, &sender));
    if (argv[1][0] != 's')
        must(ringway_ring_receiver(ring, NULL, &receiver));
    if (argv[1][0] == 't') {
        for (long i = 0; i < count; i++) {
            must(ringway_send(sender, bytes, LEN, RINGWAY_FOREVER));
            must(ringway_recv(receiver, bytes, LEN, &len, RINGWAY_FOREVER));
        }
    } else if (argv[1][0] == 's') {
        for (long i = 0; i < count; i++)
            must(ringway_send(sender, bytes, LEN, RINGWAY_FOREVER));
    } else {
        must(ringway_recv(receiver, bytes, LEN, &len, RINGWAY_FOREVER));
        long long begun = now();
        for (long i = 1; i < count; i++)
            must(ringway_recv(receiver, bytes, LEN, &len, RINGWAY_FOREVER));
        printf("%lld\n", now() - begun);
    }
    if (sender)
        must(ringway_sender_close(sender));
    if (receiver)
        must(ringway_receiver_leave(receiver));
    ringway_ring_free(ring);
    return 0;
}
