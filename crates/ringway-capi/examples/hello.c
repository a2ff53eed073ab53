/* One process sends, another receives:  hello send shm:orders  and  hello recv shm:orders  */
#include <stdio.h>
#include <string.h>

#include "ringway.h"

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ringway_last_error());
    return 1;
}

static int send_all(const ringway_ring_t *ring)
{
    ringway_sender_t *sender;
    if (ringway_ring_sender(ring, NULL, &sender) < 0)
        return failed("sender");
    for (int i = 0; i < 3; i++) {
        char order[32];
        int len = snprintf(order, sizeof order, "buy %d", i);
        if (ringway_send(sender, order, (size_t)len, RINGWAY_FOREVER) < 0)
            return failed("send");
    }
    return ringway_sender_close(sender) < 0 ? failed("close") : 0;
}

static int recv_all(const ringway_ring_t *ring)
{
    ringway_receiver_t *receiver;
    ringway_view_t view;
    int result;
    if (ringway_ring_receiver(ring, NULL, &receiver) < 0)
        return failed("receiver");
    while ((result = ringway_recv_view(receiver, &view, RINGWAY_FOREVER)) == 0) {
        printf("%.*s\n", (int)view.len, (const char *)view.data);
        ringway_release(receiver);
    }
    ringway_receiver_leave(receiver);
    return result == RINGWAY_CLOSED ? 0 : failed("recv");
}

int main(int argc, char **argv)
{
    ringway_ring_t *ring;
    int status;
    if (argc != 3) {
        fprintf(stderr, "usage: hello send|recv ADDRESS\n");
        return 2;
    }
    if (ringway_open_or_create(argv[2], NULL, &ring) < 0)
        return failed("open");
    status = strcmp(argv[1], "send") == 0 ? send_all(ring) : recv_all(ring);
    ringway_ring_free(ring);
    return status;
}
