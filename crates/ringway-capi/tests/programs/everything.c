/* Each call of ringway.h does what the header says, in one process. The argument is the beginning of names that are free. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

#define SLAB (1 << 20)

static char name[200];
static const int64_t SECOND = 1000000000;

/* A ring without a name, and handles of it. */
struct all {
    ringway_ring_t *ring;
    ringway_sender_t *sender;
    ringway_receiver_t *receiver;
};

static struct all make(const char *address, const ringway_options_t *options)
{
    struct all all;
    MUST(ringway_create(address, options, &all.ring));
    MUST(ringway_ring_sender(all.ring, NULL, &all.sender));
    MUST(ringway_ring_receiver(all.ring, NULL, &all.receiver));
    return all;
}

static void end(struct all all)
{
    MUST(ringway_sender_close(all.sender));
    MUST(ringway_receiver_leave(all.receiver));
    ringway_ring_free(all.ring);
}

static void expect(ringway_receiver_t *receiver, const char *text)
{
    char buffer[100];
    size_t len = 99;
    MUST(ringway_recv(receiver, buffer, sizeof buffer, &len, 10 * SECOND));
    assert(len == strlen(text) && memcmp(buffer, text, len) == 0);
}

static void copies(void)
{
    struct all all = make("memfd:", NULL);
    char buffer[100];
    size_t len = 99;
    struct iovec parts[] = {{"one ", 4}, {NULL, 0}, {"and two", 7}};
    IS(ringway_recv(all.receiver, buffer, sizeof buffer, &len, RINGWAY_NOW), RINGWAY_EMPTY);
    assert(len == 0 && strstr(ringway_last_error(), "empty"));
    IS(ringway_recv(all.receiver, buffer, sizeof buffer, &len, 1000), RINGWAY_TIMED_OUT);
    IS(ringway_send(all.sender, "hello", 5, RINGWAY_NOW), 0);
    IS(ringway_send(all.sender, NULL, 0, RINGWAY_FOREVER), 0);
    IS(ringway_sendv(all.sender, parts, 3, SECOND), 0);
    IS(ringway_recv(all.receiver, buffer, 4, &len, RINGWAY_NOW), RINGWAY_BUFFER_TOO_SMALL);
    assert(len == 5);
    expect(all.receiver, "hello");
    IS(ringway_recv(all.receiver, NULL, 0, &len, RINGWAY_FOREVER), 0);
    expect(all.receiver, "one and two");
    IS(ringway_send(all.sender, "x", 1u << 30, RINGWAY_NOW), RINGWAY_TOO_LARGE);
    IS(ringway_sender_sent(all.sender), 3);
    IS(ringway_receiver_received(all.receiver), 3);
    IS(ringway_receiver_is_drained(all.receiver), 1);
    IS(ringway_receiver_lost(all.receiver), 0);
    IS(ringway_sender_wait_until_drained(all.sender, SECOND), 0);
    IS(ringway_sender_peer(all.sender), RINGWAY_PEER_ALIVE);
    IS(ringway_receiver_peer(all.receiver), RINGWAY_PEER_ALIVE);
    uint64_t id;
    MUST(ringway_sender_id(all.sender, &id));
    IS(ringway_receiver_is_attached(all.receiver, id), 1);
    MUST(ringway_sender_leave(all.sender));
    IS(ringway_receiver_is_attached(all.receiver, id), 0);
    IS(ringway_recv(all.receiver, buffer, 1, &len, RINGWAY_NOW), RINGWAY_EMPTY);
    MUST(ringway_ring_sender(all.ring, NULL, &all.sender));
    MUST(ringway_receiver_wait_for_peer(all.receiver, SECOND));
    MUST(ringway_sender_close(all.sender));
    IS(ringway_recv(all.receiver, buffer, 1, &len, RINGWAY_FOREVER), RINGWAY_CLOSED);
    IS(ringway_receiver_wait(all.receiver, RINGWAY_FOREVER), RINGWAY_CLOSED);
    MUST(ringway_receiver_close(all.receiver));
    MUST(ringway_ring_sender(all.ring, NULL, &all.sender));
    IS(ringway_send(all.sender, "x", 1, RINGWAY_FOREVER), RINGWAY_CLOSED);
    IS(ringway_sender_wait_for_peer(all.sender, 1000), RINGWAY_TIMED_OUT);
    MUST(ringway_ring_receiver(all.ring, NULL, &all.receiver));
    end(all);
}

static int count_until_three(void *context, const void *data, size_t len)
{
    int *seen = context;
    assert(len == 1 && *(const char *)data == '0' + *seen);
    return ++*seen == 3;
}

static int count(void *context, const void *data, size_t len)
{
    (void)data;
    (void)len;
    ++*(int *)context;
    return 0;
}

static void batches(void)
{
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    options.capacity = 4096;
    struct all all = make("memfd:", &options);
    char big[1000] = {0};
    struct iovec few[] = {{"0", 1}, {"1", 1}, {"2", 1}, {"3", 1}};
    struct iovec many[] = {{big, 1000}, {big, 1000}, {big, 1000}, {big, 1000}, {big, 1000}};
    int seen = 0;
    IS(ringway_drain(all.receiver, 10, count, &seen), 0);
    IS(ringway_send_batch(all.sender, few, 4), 0);
    IS(ringway_send_batch(all.sender, many, 5), RINGWAY_FULL);
    /* The third is refused, and comes again with what lies behind it. */
    IS(ringway_drain(all.receiver, 10, count_until_three, &seen), 2);
    seen = 0;
    IS(ringway_drain(all.receiver, 1, count, &seen), 1);
    IS(ringway_drain(all.receiver, 10, count, &seen), 1);
    assert(seen == 2);
    while (ringway_send(all.sender, big, 1000, RINGWAY_NOW) == 0)
        ;
    IS(ringway_send(all.sender, big, 1000, 1000), RINGWAY_TIMED_OUT);
    IS(ringway_drain(all.receiver, 0, count, &seen), 0);
    end(all);
}

static void in_place(void)
{
    ringway_slabs_t slabs = {SLAB, 4};
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    options.slabs = &slabs;
    options.slab_lengths = 1;
    options.capacity = 1 << 16;
    struct all all = make("memfd:", &options);
    ringway_view_t view;
    ringway_message_t *kept[2];
    void *data;
    char byte;
    size_t len;
    for (uint32_t flags = 0; flags <= RINGWAY_IN_PLACE; flags++) {
        for (size_t size = 5; size <= SLAB; size *= SLAB / 5) {
            MUST(ringway_claim(all.sender, size, flags, RINGWAY_NOW, &data));
            memset(data, 7, size);
            IS(ringway_send(all.sender, "x", 1, RINGWAY_NOW), RINGWAY_BUSY);
            IS(ringway_claim(all.sender, 1, 0, RINGWAY_NOW, &data), RINGWAY_BUSY);
            IS(ringway_recv_view(all.receiver, &view, RINGWAY_NOW), RINGWAY_EMPTY);
            MUST(ringway_commit(all.sender, size - 1));
            MUST(ringway_recv_view(all.receiver, &view, RINGWAY_FOREVER));
            assert(view.len == size - 1 && view.deliveries == 1);
            assert(((const char *)view.data)[size - 2] == 7);
            IS(ringway_recv(all.receiver, &byte, 1, &len, RINGWAY_NOW), RINGWAY_BUSY);
            uint64_t number = view.number;
            MUST(ringway_give_back(all.receiver));
            MUST(ringway_recv_view(all.receiver, &view, SECOND));
            assert(view.number == number && view.deliveries == 2);
            MUST(ringway_release(all.receiver));
        }
    }
    IS(ringway_claim(all.sender, 5, 8, RINGWAY_NOW, &data), RINGWAY_INVALID);
    MUST(ringway_claim(all.sender, 5, 0, SECOND, &data));
    MUST(ringway_abort(all.sender));
    IS(ringway_abort(all.sender), RINGWAY_INVALID);
    IS(ringway_commit(all.sender, 5), RINGWAY_INVALID);
    IS(ringway_release(all.receiver), RINGWAY_INVALID);
    IS(ringway_give_back(all.receiver), RINGWAY_INVALID);
    IS(ringway_detach(all.receiver, kept), RINGWAY_INVALID);

    /* Kept messages outlive their receiver. */
    char *frame = malloc(SLAB);
    for (int i = 0; i < 2; i++) {
        memset(frame, i, SLAB);
        MUST(ringway_send(all.sender, frame, SLAB, RINGWAY_FOREVER));
        MUST(ringway_recv_view(all.receiver, &view, RINGWAY_FOREVER));
        MUST(ringway_detach(all.receiver, &kept[i]));
    }
    free(frame);
    IS(ringway_skip_unreadable(all.receiver), RINGWAY_EMPTY);
    MUST(ringway_receiver_leave(all.receiver));
    for (int i = 0; i < 2; i++) {
        MUST(ringway_message_view(kept[i], &view));
        assert(view.len == SLAB && ((const char *)view.data)[SLAB - 1] == i);
        ringway_message_free(kept[i]);
    }
    /* What is held when the handle goes is aborted, and comes again. */
    MUST(ringway_send(all.sender, "again", 5, RINGWAY_FOREVER));
    MUST(ringway_claim(all.sender, 5, 0, RINGWAY_NOW, &data));
    MUST(ringway_sender_close(all.sender));
    MUST(ringway_ring_receiver(all.ring, NULL, &all.receiver));
    MUST(ringway_recv_view(all.receiver, &view, RINGWAY_FOREVER));
    MUST(ringway_receiver_close(all.receiver));
    MUST(ringway_ring_receiver(all.ring, NULL, &all.receiver));
    expect(all.receiver, "again");
    IS(ringway_recv(all.receiver, &byte, 1, &len, RINGWAY_FOREVER), RINGWAY_CLOSED);
    MUST(ringway_receiver_leave(all.receiver));
    ringway_ring_free(all.ring);
}

/* Each receiver gets every message. */
static void broadcasts(void)
{
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    ringway_receiver_t *other;
    options.kind = RINGWAY_BROADCAST;
    struct all all = make("memfd:", &options);
    ringway_ring_info_t info = {0};
    info.size = sizeof info;
    MUST(ringway_ring_info(all.ring, &info));
    assert(info.kind == RINGWAY_BROADCAST);
    MUST(ringway_ring_receiver(all.ring, NULL, &other));
    MUST(ringway_send(all.sender, "one", 3, RINGWAY_NOW));
    MUST(ringway_send(all.sender, "two", 3, RINGWAY_NOW));
    expect(all.receiver, "one");
    expect(other, "one");
    expect(other, "two");
    expect(all.receiver, "two");
    MUST(ringway_receiver_leave(other));
    end(all);
}

/* Policies, beginnings, and names. */
static void subscriptions(void)
{
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    ringway_subscription_t wish = RINGWAY_SUBSCRIPTION_INIT;
    ringway_receiver_t *receiver, *other;
    ringway_ring_t *ring;
    ringway_sender_t *sender;
    uint64_t number = 0, got;
    size_t len;
    options.kind = RINGWAY_BROADCAST;
    options.capacity = 4096;
    MUST(ringway_create("memfd:", &options, &ring));
    MUST(ringway_ring_sender(ring, NULL, &sender));
    for (; number < 1000; number++)
        MUST(ringway_send(sender, &number, sizeof number, RINGWAY_NOW));

    /* What it begins with and is gone, it is told. */
    wish.start = RINGWAY_NUMBER;
    wish.policy = RINGWAY_LOSSY;
    MUST(ringway_ring_subscribe(ring, NULL, &wish, &receiver));
    IS(ringway_recv(receiver, &got, sizeof got, &len, RINGWAY_NOW), RINGWAY_LAGGED);
    uint64_t missed = ringway_last_missed();
    assert(missed > 500 && missed < 1000 && strstr(ringway_last_error(), "receive on"));
    MUST(ringway_recv(receiver, &got, sizeof got, &len, RINGWAY_NOW));
    assert(got == missed);
    MUST(ringway_receiver_leave(receiver));

    wish.start = RINGWAY_LAST;
    wish.start_at = 5;
    wish.name = "audit";
    wish.policy = 0;
    MUST(ringway_ring_subscribe(ring, NULL, &wish, &receiver));
    MUST(ringway_recv(receiver, &got, sizeof got, &len, RINGWAY_NOW));
    assert(got == 995);
    IS(ringway_ring_subscribe(ring, NULL, &wish, &other), RINGWAY_BUSY);
    MUST(ringway_receiver_leave(receiver));
    MUST(ringway_ring_subscribe(ring, NULL, &wish, &receiver));
    MUST(ringway_recv(receiver, &got, sizeof got, &len, RINGWAY_NOW));
    assert(got == 996);
    MUST(ringway_receiver_leave(receiver));
    wish.name = NULL;

    wish.start = RINGWAY_LATEST;
    wish.policy = RINGWAY_EVICT;
    IS(ringway_ring_subscribe(ring, NULL, &wish, &receiver), RINGWAY_INVALID);
    wish.evict_bytes = 1000;
    wish.evict_ns = 1000;
    IS(ringway_ring_subscribe(ring, NULL, &wish, &receiver), RINGWAY_INVALID);
    wish.evict_ns = 0;
    MUST(ringway_ring_subscribe(ring, NULL, &wish, &receiver));
    for (; number < 2000; number++)
        MUST(ringway_send(sender, &number, sizeof number, RINGWAY_FOREVER));
    IS(ringway_recv(receiver, &got, sizeof got, &len, RINGWAY_NOW), RINGWAY_EVICTED);
    MUST(ringway_receiver_leave(receiver));
    wish.policy = 99;
    IS(ringway_ring_subscribe(ring, NULL, &wish, &receiver), RINGWAY_INVALID);
    MUST(ringway_sender_close(sender));
    ringway_ring_free(ring);

    options.policies = RINGWAY_BLOCK | RINGWAY_LOSSY;
    MUST(ringway_create("memfd:", &options, &ring));
    wish.policy = RINGWAY_EVICT;
    IS(ringway_ring_subscribe(ring, NULL, &wish, &receiver), RINGWAY_UNSUPPORTED);
    ringway_ring_free(ring);
    options.policies = 64;
    IS(ringway_create("memfd:", &options, &ring), RINGWAY_INVALID);
    options.policies = 0;
    options.kind = RINGWAY_MPMC;
    MUST(ringway_create("memfd:", &options, &ring));
    IS(ringway_ring_subscribe(ring, NULL, &wish, &receiver), RINGWAY_UNSUPPORTED);
    MUST(ringway_ring_subscribe(ring, NULL, NULL, &receiver));
    MUST(ringway_receiver_leave(receiver));
    ringway_ring_free(ring);
}

static void count_key(void *context, const char *key)
{
    assert(strcmp(key, "speed") == 0 || strcmp(key, "level") == 0);
    ++*(int *)context;
}

static void see_entry(void *context, const ringway_entry_t *entry)
{
    if (strcmp(entry->key, "speed") == 0) {
        assert(entry->number == 3 && entry->len == 2 && entry->writer == (uint32_t)getpid() && entry->writer_alive);
        *(bool *)context = true;
    }
}

static void must_be(const ringway_value_t *value, const char *text, uint64_t number)
{
    assert(value->len == strlen(text) && memcmp(value->data, text, value->len) == 0 && value->number == number);
}

static void boards(void)
{
    const char *keys[] = {"speed", "level"}, *key;
    ringway_board_options_t options = RINGWAY_BOARD_OPTIONS_INIT;
    ringway_board_info_t info = {0};
    ringway_stat_t stat = {0};
    ringway_board_t *board, *other;
    ringway_writer_t *writer, *second;
    ringway_reader_t *reader;
    ringway_watcher_t *watcher;
    ringway_interrupter_t *interrupter;
    ringway_value_t value;
    struct pollfd poll_one = {.events = POLLIN};
    char text[300];
    static char long_value[1 << 20];
    int count = 0;
    bool seen = false;
    options.keys = keys;
    options.key_count = 2;
    options.value_len = 200;
    MUST(ringway_board_create(name, &options, &board));
    IS(ringway_board_create(name, &options, &other), RINGWAY_EXISTS);
    options.entries = 50;
    IS(ringway_board_open(name, &options, &other), RINGWAY_INCOMPATIBLE);
    MUST(ringway_board_open(name, NULL, &other));
    info.size = sizeof info;
    MUST(ringway_board_info(other, &info));
    assert(info.entries == 2 && info.max_value_len >= 200 && info.max_value_len < sizeof long_value && !info.is_new);
    IS(ringway_board_address(board, text, sizeof text), (int)strlen(name));
    assert(strcmp(text, name) == 0);
    IS(ringway_board_keys(board, count_key, &count), 2);
    assert(count == 2);

    MUST(ringway_board_reader(other, NULL, "speed", &reader));
    IS(ringway_get(reader, &value), 0);
    IS(ringway_get_newer(reader, &value, RINGWAY_NOW), RINGWAY_EMPTY);
    IS(ringway_get_newer(reader, &value, 1000), RINGWAY_TIMED_OUT);
    IS(ringway_reader_peer(reader), RINGWAY_PEER_ABSENT);
    MUST(ringway_board_writer(board, "speed", &writer));
    IS(ringway_board_writer(other, "speed", &second), RINGWAY_BUSY);
    IS(ringway_board_writer(other, "height", &second), RINGWAY_NO_SPACE);
    IS(ringway_board_writer(other, "", &second), RINGWAY_INVALID);
    IS(ringway_reader_peer(reader), RINGWAY_PEER_ALIVE);
    IS(ringway_set(writer, "50", 2), 1);
    IS(ringway_set(writer, "60", 2), 2);
    IS(ringway_set(writer, long_value, info.max_value_len + 1), RINGWAY_TOO_LARGE);
    IS(ringway_writer_number(writer), 2);
    MUST(ringway_get_newer(reader, &value, RINGWAY_FOREVER));
    must_be(&value, "60", 2);
    IS(ringway_get(reader, &value), 1);
    must_be(&value, "60", 2);

    /* An event loop. */
    MUST(poll_one.fd = ringway_reader_descriptor(reader));
    IS(ringway_reader_arm(reader), 1);
    assert(poll(&poll_one, 1, 0) == 0);
    IS(ringway_set(writer, "70", 2), 3);
    assert(poll(&poll_one, 1, -1) == 1);
    IS(ringway_reader_arm(reader), 0);
    MUST(ringway_get_newer(reader, &value, RINGWAY_NOW));
    must_be(&value, "70", 3);
    MUST(ringway_reader_interrupter(reader, &interrupter));
    ringway_interrupt(interrupter);
    IS(ringway_get_newer(reader, &value, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    ringway_interrupter_free(interrupter);

    MUST(ringway_board_watch(other, NULL, &watcher));
    MUST(ringway_watch(watcher, &key, &value, RINGWAY_NOW));
    assert(strcmp(key, "speed") == 0);
    must_be(&value, "70", 3);
    IS(ringway_watch(watcher, &key, &value, RINGWAY_NOW), RINGWAY_EMPTY);
    IS(ringway_watch(watcher, &key, &value, 1000), RINGWAY_TIMED_OUT);
    MUST(poll_one.fd = ringway_watcher_descriptor(watcher));
    IS(ringway_watcher_arm(watcher), 1);
    assert(poll(&poll_one, 1, 0) == 0);
    MUST(ringway_board_writer(board, "level", &second));
    IS(ringway_set(second, "", 0), 1);
    assert(poll(&poll_one, 1, -1) == 1);
    MUST(ringway_watch(watcher, &key, &value, RINGWAY_FOREVER));
    assert(strcmp(key, "level") == 0 && value.data != NULL);
    must_be(&value, "", 1);
    MUST(ringway_watcher_interrupter(watcher, &interrupter));
    ringway_interrupt(interrupter);
    IS(ringway_watch(watcher, &key, &value, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    ringway_interrupter_free(interrupter);
    ringway_watcher_free(watcher);

    IS(ringway_board_stat(name, see_entry, &seen), 2);
    assert(seen);
    stat.size = sizeof stat;
    MUST(ringway_stat(name, &stat, NULL, NULL));
    assert(stat.kind == RINGWAY_BOARD);
    ringway_writer_free(writer);
    MUST(ringway_board_writer(other, "speed", &writer));
    IS(ringway_writer_number(writer), 3);
    ringway_writer_free(writer);
    ringway_writer_free(second);

    /* One that writes and dies. */
    pid_t child = fork();
    if (child == 0) {
        IS(ringway_get(reader, &value), RINGWAY_FORKED);
        MUST(ringway_board_open(name, NULL, &board));
        MUST(ringway_board_writer(board, "speed", &writer));
        IS(ringway_set(writer, "80", 2), 4);
        _exit(0);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    MUST(ringway_get_newer(reader, &value, SECOND));
    must_be(&value, "80", 4);
    IS(ringway_get_newer(reader, &value, 60 * SECOND), RINGWAY_PEER_DIED);
    IS(ringway_reader_peer(reader), RINGWAY_PEER_HAS_DIED);
    ringway_reader_free(reader);

    int sockets[2];
    ringway_board_free(board);
    MUST(ringway_board_create("memfd:", NULL, &board));
    assert(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    MUST(ringway_board_hand_over(board, sockets[0], NULL));
    ringway_board_free(other);
    MUST(ringway_board_take_over(sockets[1], NULL, &other, NULL));
    IS(ringway_board_is_removed(other), 0);
    close(sockets[0]);
    close(sockets[1]);
    ringway_board_free(other);
    ringway_board_free(board);
    MUST(ringway_remove(name, false));
}

static void options_and_errors(void)
{
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    ringway_ring_t *ring, *other;
    ringway_sender_t *sender;
    char text[300];
    IS(ringway_create(NULL, NULL, &ring), RINGWAY_INVALID);
    IS(ringway_create("memfd:", NULL, NULL), RINGWAY_INVALID);
    IS(ringway_create("orders", NULL, &ring), RINGWAY_INVALID);
    assert(strstr(ringway_last_error(), "shm:NAME"));
    IS(ringway_create("memfd:\xff", NULL, &ring), RINGWAY_INVALID);
    IS(ringway_open(name, NULL, &ring), RINGWAY_NOT_FOUND);
    assert(ringway_last_errno() == ENOENT && strcmp(ringway_error_name(RINGWAY_NOT_FOUND), "RINGWAY_NOT_FOUND") == 0);
    options.wait_ns = 1000;
    IS(ringway_open(name, &options, &ring), RINGWAY_TIMED_OUT);
    options.wait_ns = 0;
    options.kind = 99;
    IS(ringway_create(name, &options, &ring), RINGWAY_INVALID);
    options.kind = RINGWAY_MPMC;
    options.persistent = 2;
    IS(ringway_create(name, &options, &ring), RINGWAY_INVALID);
    options.persistent = RINGWAY_NO;
    options.messages = 5;
    IS(ringway_create(name, &options, &ring), RINGWAY_INVALID);
    options.messages = 0;
    options.size = 3;
    IS(ringway_create(name, &options, &ring), RINGWAY_INVALID);

    /* An older program's structure ends earlier, a newer one's has what is not known yet. */
    options.size = offsetof(ringway_options_t, capacity);
    options.capacity = 4096;
    MUST(ringway_create(name, &options, &ring));
    ringway_ring_info_t info = {0};
    info.size = sizeof info;
    MUST(ringway_ring_info(ring, &info));
    assert(info.kind == RINGWAY_MPMC && info.sync == RINGWAY_FUTEX && info.capacity == 4 << 20);
    assert(info.is_new && !info.is_queue && info.cell_len == 128 && info.max_senders == 32);
    info.size = offsetof(ringway_ring_info_t, capacity);
    info.capacity = 1;
    MUST(ringway_ring_info(ring, &info));
    assert(info.capacity == 1);
    struct {
        ringway_options_t known;
        uint64_t unknown;
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.known.size = sizeof newer;
    MUST(ringway_open(name, &newer.known, &other));
    ringway_ring_free(other);
    newer.unknown = 1;
    IS(ringway_open(name, &newer.known, &other), RINGWAY_INVALID);
    assert(strstr(ringway_last_error(), "newer"));

    options.size = sizeof options;
    IS(ringway_create(name, NULL, &other), RINGWAY_EXISTS);
    IS(ringway_open(name, &options, &other), RINGWAY_INCOMPATIBLE);
    IS(ringway_ring_address(ring, text, sizeof text), strlen(name));
    assert(strcmp(text, name) == 0);
    IS(ringway_ring_address(ring, text, 5), strlen(name));
    assert(strlen(text) == 4);
    IS(ringway_ring_address(ring, NULL, 0), strlen(name));

    ringway_handle_options_t how = RINGWAY_HANDLE_OPTIONS_INIT;
    how.spin_ns = -9;
    IS(ringway_ring_sender(ring, &how, &sender), RINGWAY_INVALID);
    how.spin_ns = RINGWAY_PARK;
    how.copy_limit = 1000;
    MUST(ringway_ring_sender(ring, &how, &sender));
    IS(ringway_remove(name, false), RINGWAY_BUSY);
    IS(ringway_ring_is_removed(ring), 0);
    MUST(ringway_sender_close(sender));
    MUST(ringway_remove(name, false));
    IS(ringway_ring_is_removed(ring), 1);
    IS(ringway_send(NULL, "x", 1, 0), RINGWAY_INVALID);
    ringway_interrupt(NULL);
    ringway_ring_free(ring);
    ringway_ring_free(NULL);
    ringway_message_free(NULL);
    ringway_interrupter_free(NULL);
    MUST(ringway_sender_close(NULL));
    MUST(ringway_receiver_leave(NULL));
}

static void see_participant(void *context, const ringway_participant_t *participant)
{
    assert(participant->alive && participant->pid == (uint32_t)getpid());
    ++*(int *)context;
}

static void see_address(void *context, const char *address)
{
    *(bool *)context |= strcmp(address, name) == 0;
}

static void see_found(void *context, const char *what, int32_t fate, const char *why)
{
    assert(strstr(what, name) && fate == RINGWAY_GC_KEPT && *why);
    ++*(int *)context;
}

static void looks(void)
{
    struct all all = make(name, NULL);
    ringway_stat_t stat = {0};
    int seen = 0;
    bool listed = false;
    stat.size = sizeof stat;
    MUST(ringway_send(all.sender, "x", 1, RINGWAY_NOW));
    MUST(ringway_stat(name, &stat, see_participant, &seen));
    assert(seen == 2 && stat.senders == 1 && stat.receivers == 1 && stat.messages == 1 && stat.sent == 1);
    MUST(ringway_list(see_address, &listed));
    assert(listed);
    ringway_gc_options_t options = RINGWAY_GC_OPTIONS_INIT;
    options.address = name;
    seen = 0;
    IS(ringway_gc(&options, see_found, &seen), 0);
    assert(seen == 1);
    options.address = NULL;
    options.prefix = "ringway-no-such-name";
    IS(ringway_gc(&options, NULL, NULL), 0);
    end(all);
    MUST(ringway_remove(name, false));
    IS(ringway_stat(name, &stat, NULL, NULL), RINGWAY_NOT_FOUND);
}

static void *interrupt(void *interrupter)
{
    usleep(20000);
    ringway_interrupt(interrupter);
    return NULL;
}

static ringway_interrupter_t *of_handler;

static void handle(int signal)
{
    (void)signal;
    ringway_interrupt(of_handler);
}

static void waits(void)
{
    struct all one = make("memfd:", NULL), other = make("memfd:", NULL);
    ringway_receiver_t *both[] = {one.receiver, other.receiver};
    ringway_interrupter_t *interrupter;
    bool ready[2] = {true, true};
    char byte;
    size_t len;
    pthread_t thread;
    IS(ringway_wait_any(both, 2, ready, 1000), RINGWAY_TIMED_OUT);
    MUST(ringway_send(other.sender, "x", 1, RINGWAY_NOW));
    IS(ringway_wait_any(both, 2, ready, RINGWAY_FOREVER), 1);
    assert(!ready[0] && ready[1]);
    IS(ringway_wait_any(NULL, 0, NULL, RINGWAY_FOREVER), RINGWAY_INVALID);

    MUST(ringway_receiver_interrupter(one.receiver, &interrupter));
    pthread_create(&thread, NULL, interrupt, interrupter);
    IS(ringway_recv(one.receiver, &byte, 1, &len, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    pthread_join(thread, NULL);
    of_handler = interrupter;
    signal(SIGALRM, handle);
    ualarm(20000, 0);
    IS(ringway_recv(one.receiver, &byte, 1, &len, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    ringway_interrupter_free(interrupter);

    MUST(ringway_sender_interrupter(one.sender, &interrupter));
    ringway_interrupt(interrupter);
    while (ringway_send(one.sender, "x", 1, RINGWAY_NOW) == 0)
        ;
    IS(ringway_send(one.sender, "x", 1, RINGWAY_FOREVER), RINGWAY_INTERRUPTED);
    end(one);
    ringway_interrupt(interrupter);
    ringway_interrupter_free(interrupter);
    end(other);
}

static void hands_over(void)
{
    int sockets[2];
    ringway_ring_t *ring, *same;
    ringway_receiver_t *receiver;
    ringway_peer_t peer;
    int status;
    assert(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    MUST(ringway_create("memfd:", NULL, &ring));
    MUST(ringway_ring_hand_over(ring, sockets[0], &peer));
    assert(peer.pid == getpid() && peer.uid == getuid());
    MUST(ringway_take_over(sockets[1], NULL, &same, &peer));
    MUST(ringway_ring_receiver(same, NULL, &receiver));
    pid_t child = fork();
    if (child == 0) {
        ringway_sender_t *sender;
        char byte;
        size_t len;
        /* What it inherits refers to nothing here. */
        IS(ringway_ring_sender(ring, NULL, &sender), RINGWAY_FORKED);
        IS(ringway_recv(receiver, &byte, 1, &len, RINGWAY_FOREVER), RINGWAY_FORKED);
        MUST(ringway_receiver_close(receiver));
        ringway_ring_free(ring);
        ringway_ring_free(same);
        _exit(0);
    }
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    MUST(ringway_receiver_leave(receiver));
    IS(ringway_ring_hand_over(ring, -1, NULL), RINGWAY_INVALID);
    ringway_ring_free(same);
    ringway_ring_free(ring);
    close(sockets[0]);
    close(sockets[1]);
}

static void queues(void)
{
    char address[220];
    snprintf(address, sizeof address, "mq:/%s", name + strlen("shm:"));
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    options.messages = 4;
    options.message_len = 100;
    struct all all = make(address, &options);
    ringway_view_t view;
    void *data;
    bool ready;
    ringway_ring_info_t info = {0};
    ringway_stat_t stat = {0};
    info.size = sizeof info;
    stat.size = sizeof stat;
    MUST(ringway_ring_info(all.ring, &info));
    assert(info.is_queue && info.max_message_len == 100);
    MUST(ringway_send(all.sender, "later", 5, RINGWAY_NOW));
    MUST(ringway_send_priority(all.sender, "now", 3, 7, SECOND));
    MUST(ringway_stat(address, &stat, NULL, NULL));
    assert(stat.is_queue && stat.senders == 1);
    MUST(ringway_recv_view(all.receiver, &view, RINGWAY_NOW));
    assert(view.len == 3 && memcmp(view.data, "now", 3) == 0);
    MUST(ringway_give_back(all.receiver));
    expect(all.receiver, "now");
    expect(all.receiver, "later");
    IS(ringway_claim(all.sender, 1, 0, RINGWAY_NOW, &data), RINGWAY_UNSUPPORTED);
    IS(ringway_wait_any(&all.receiver, 1, &ready, RINGWAY_NOW), RINGWAY_UNSUPPORTED);
    IS(ringway_receiver_wait(all.receiver, RINGWAY_NOW), RINGWAY_UNSUPPORTED);
    end(all);
    MUST(ringway_remove(address, true));
    options.kind = RINGWAY_MPMC;
    IS(ringway_create(address, &options, &all.ring), RINGWAY_UNSUPPORTED);
    all = make("memfd:", NULL);
    IS(ringway_send_priority(all.sender, "x", 1, 1, RINGWAY_NOW), RINGWAY_UNSUPPORTED);
    end(all);
}

int main(int argc, char **argv)
{
    assert(argc == 2);
    snprintf(name, sizeof name, "%s", argv[1]);
    assert(*ringway_last_error() == '\0');
    copies();
    batches();
    in_place();
    broadcasts();
    subscriptions();
    boards();
    options_and_errors();
    looks();
    waits();
    hands_over();
    queues();
    puts("done");
    return 0;
}
