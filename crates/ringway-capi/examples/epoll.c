/* One thread waits for several rings and standard input, with epoll, until all have ended:  epoll ADDRESS...  */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ringway.h"

enum { MOST = 8 };

static void must(long long result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", ringway_error_name(result), ringway_last_error());
        exit(1);
    }
}

static void watch(int epoll, int descriptor, unsigned number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

/* Takes what is there, until the ring is armed: 1, or has come to its end: 0. */
static int take(ringway_receiver_t *receiver, unsigned number)
{
    for (;;) {
        ringway_view_t view;
        int result = ringway_recv_view(receiver, &view, RINGWAY_NOW);
        if (result == 0) {
            printf("%u: %.*s\n", number, (int)view.len, (const char *)view.data);
            must(ringway_release(receiver));
            continue;
        }
        if (result == RINGWAY_EMPTY)
            result = ringway_receiver_arm(receiver);
        if (result == RINGWAY_CLOSED) {
            printf("%u ends\n", number);
            return 0;
        }
        must(result);
        if (result == 1)
            return 1;
    }
}

int main(int argc, char **argv)
{
    ringway_receiver_t *receivers[MOST];
    unsigned count = (unsigned)argc - 1, open = 0;
    int epoll = epoll_create1(EPOLL_CLOEXEC), input = 1;
    if (count < 1 || count > MOST) {
        fprintf(stderr, "usage: epoll ADDRESS...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < count; i++) {
        ringway_ring_t *ring;
        must(ringway_open(argv[i + 1], NULL, &ring));
        must(ringway_ring_receiver(ring, NULL, &receivers[i]));
        ringway_ring_free(ring);
        int descriptor = ringway_receiver_descriptor(receivers[i]);
        must(descriptor);
        if (take(receivers[i], i)) {
            watch(epoll, descriptor, i);
            open++;
        }
    }
    watch(epoll, STDIN_FILENO, MOST);
    puts("waits");
    while (open > 0 || input) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 1)
            continue;
        if (event.data.u32 < MOST) {
            ringway_receiver_t *receiver = receivers[event.data.u32];
            if (!take(receiver, event.data.u32)) {
                /* It stays readable: the end stays the end. */
                epoll_ctl(epoll, EPOLL_CTL_DEL, ringway_receiver_descriptor(receiver), &event);
                open--;
            }
            continue;
        }
        char text[100];
        ssize_t len = read(STDIN_FILENO, text, sizeof text);
        if (len > 0) {
            printf("input: %.*s\n", (int)len, text);
        } else {
            puts("input ends");
            epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, &event);
            input = 0;
        }
    }
    for (unsigned i = 0; i < count; i++)
        must(ringway_receiver_leave(receivers[i]));
    close(epoll);
    return 0;
}
