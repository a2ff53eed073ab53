/* Shows every message of a broadcast ring, and goes on under its name when it is started again:  subscriber ADDRESS NAME  */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ringway.h"

static void must(long long result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", ringway_error_name(result), ringway_last_error());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    ringway_ring_t *ring;
    ringway_receiver_t *receiver;
    ringway_view_t view;
    ringway_subscription_t wish = RINGWAY_SUBSCRIPTION_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: subscriber ADDRESS NAME\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    wish.name = argv[2];
    must(ringway_open(argv[1], NULL, &ring));
    must(ringway_ring_subscribe(ring, NULL, &wish, &receiver));
    ringway_ring_free(ring);
    puts("ready");
    for (;;) {
        int result = ringway_recv_view(receiver, &view, RINGWAY_FOREVER);
        if (result == RINGWAY_LAGGED) {
            printf("missed %" PRIu64 "\n", ringway_last_missed());
        } else if (result == RINGWAY_PEER_DIED) {
            /* The next one goes on. */
            must(ringway_receiver_wait_for_peer(receiver, RINGWAY_FOREVER));
        } else if (result == RINGWAY_CLOSED) {
            puts("end");
            break;
        } else {
            must(result);
            printf("%.*s\n", (int)view.len, (const char *)view.data);
            must(ringway_release(receiver));
        }
    }
    must(ringway_receiver_leave(receiver));
    return 0;
}
