/* Sends or receives messages that are their numbers, in one of several ways:  peer WAY ADDRESS  */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ringway.h"

static void must(long long result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", ringway_error_name(result), ringway_last_error());
        exit(1);
    }
}

static void send_numbers(const ringway_ring_t *ring, char way)
{
    ringway_sender_t *sender;
    must(ringway_ring_sender(ring, NULL, &sender));
    int64_t sent = ringway_sender_sent(sender);
    must(sent);
    puts("ready");
    for (uint64_t number = (uint64_t)sent;; number++) {
        struct iovec halves[] = {{&number, 4}, {(char *)&number + 4, 4}};
        void *room;
        switch (way) {
        case 's':
            must(ringway_send(sender, &number, sizeof number, RINGWAY_FOREVER));
            break;
        case 'c':
            must(ringway_claim(sender, sizeof number, RINGWAY_IN_PLACE, RINGWAY_FOREVER, &room));
            memcpy(room, &number, sizeof number);
            must(ringway_commit(sender, sizeof number));
            break;
        default:
            must(ringway_sendv(sender, halves, 2, RINGWAY_FOREVER));
        }
    }
}

static void show(const void *data, size_t len)
{
    uint64_t number;
    if (len != sizeof number)
        exit(3);
    memcpy(&number, data, len);
    printf("%" PRIu64 "\n", number);
}

static int show_each(void *context, const void *data, size_t len)
{
    (void)context;
    show(data, len);
    return 0;
}

static void receive_numbers(const ringway_ring_t *ring, char way)
{
    ringway_receiver_t *receiver;
    uint64_t number;
    size_t len;
    long long result = 0;
    must(ringway_ring_receiver(ring, NULL, &receiver));
    while (result >= 0) {
        ringway_view_t view;
        switch (way) {
        case 'r':
            result = ringway_recv(receiver, &number, sizeof number, &len, RINGWAY_FOREVER);
            if (result >= 0)
                show(&number, len);
            break;
        case 'v':
            result = ringway_recv_view(receiver, &view, RINGWAY_FOREVER);
            if (result >= 0) {
                show(view.data, view.len);
                fflush(stdout);
                must(ringway_release(receiver));
            }
            break;
        default:
            result = ringway_receiver_wait(receiver, RINGWAY_FOREVER);
            if (result >= 0)
                result = ringway_drain(receiver, 100, show_each, NULL);
        }
    }
    printf("%s\n", ringway_error_name(result));
    must(ringway_receiver_leave(receiver));
}

int main(int argc, char **argv)
{
    ringway_ring_t *ring;
    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(ringway_open(argv[2], NULL, &ring));
    if (strchr("scp", argv[1][0]))
        send_numbers(ring, argv[1][0]);
    else
        receive_numbers(ring, argv[1][0]);
    ringway_ring_free(ring);
    return 0;
}
