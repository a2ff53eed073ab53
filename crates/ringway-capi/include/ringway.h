/* Made of the sources of ringway-capi by `cargo xtask c-header`. SPDX-License-Identifier: MIT OR Apache-2.0 */

#ifndef RINGWAY_H
#define RINGWAY_H



#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/uio.h>

#define RINGWAY_OPTIONS_INIT {sizeof(ringway_options_t), 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define RINGWAY_HANDLE_OPTIONS_INIT {sizeof(ringway_handle_options_t), 0, 0}
#define RINGWAY_SUBSCRIPTION_INIT {sizeof(ringway_subscription_t), 0, 0, 0, 0, 0, NULL}
#define RINGWAY_BOARD_OPTIONS_INIT {sizeof(ringway_board_options_t), 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0}
#define RINGWAY_SERVE_OPTIONS_INIT {sizeof(ringway_serve_options_t), 0, 0, 0, 0, 0, 0, 0, 0}
#define RINGWAY_CONNECT_OPTIONS_INIT {sizeof(ringway_connect_options_t), 0, 0, 0, 0, 0, 0, 0}
#define RINGWAY_GC_OPTIONS_INIT {sizeof(ringway_gc_options_t), NULL, NULL, 0, 0, 0}


// It is removed.
#define RINGWAY_GC_REMOVED 0

// It is garbage, and would be removed.
#define RINGWAY_GC_REMOVABLE 1

// It stays.
#define RINGWAY_GC_KEPT 2

// One sender, one receiver: the fastest. (kind)
#define RINGWAY_SPSC 1

// Many senders, one receiver. (kind)
#define RINGWAY_MPSC 2

// One sender, many receivers. (kind)
#define RINGWAY_SPMC 3

// Many senders, many receivers. (kind)
#define RINGWAY_MPMC 4

// One sender, many receivers, of which each gets every message: ringway_ring_subscribe says how. (kind)
#define RINGWAY_BROADCAST 5

// No ring but a board: what ringway_stat says of one. (kind)
#define RINGWAY_BOARD 6

// The sender waits for the slowest of these receivers that lives. (policy)
#define RINGWAY_BLOCK 1

// The sender waits for none of these; one that was overtaken is told how many messages it missed: RINGWAY_LAGGED. (policy)
#define RINGWAY_LOSSY 2

// The sender waits up to a limit for these; then they are told RINGWAY_EVICTED, and get nothing more. (policy)
#define RINGWAY_EVICT 4

// Excluded by atomic operations, woken by futexes: the default, and the fastest. (sync)
#define RINGWAY_FUTEX 1

// Excluded by a robust mutex; for peers that trust each other. (sync)
#define RINGWAY_PTHREAD 2

// Excluded and woken by POSIX semaphores; for peers that trust each other. (sync)
#define RINGWAY_POSIX_SEM 3

// Excluded and woken by System V semaphores. (sync)
#define RINGWAY_SYSV_SEM 4

// Woken by POSIX message queues. (sync)
#define RINGWAY_MQUEUE 5

// For what is yes or no: it was asked for. 0 is not asked for, the default.
#define RINGWAY_YES 1

// It was asked that it is not so.
#define RINGWAY_NO -1

// Never sleep. (spin_ns)
#define RINGWAY_SPIN -1

// Sleep at once. (spin_ns)
#define RINGWAY_PARK -2

// -EAGAIN: there is no room now, and no time was given. Receive, or give time.
#define RINGWAY_FULL -11

// -EAGAIN: there is no message now, and no time was given.
#define RINGWAY_EMPTY -11

// -ETIMEDOUT: the time passed.
#define RINGWAY_TIMED_OUT -110

// -EPIPE: the last of the other side has closed. For a receiver: all is received, and this is the end of the stream.
#define RINGWAY_CLOSED -32

// -EOWNERDEAD: the process on the other side died without closing. A new one may come and go on.
#define RINGWAY_PEER_DIED -130

// -EIDRM: the ring was removed, and nobody can come any more.
#define RINGWAY_REMOVED -43

// -EMSGSIZE: the message cannot ever fit.
#define RINGWAY_TOO_LARGE -90

// -ENOBUFS: the message is longer than the buffer; it stays the next one.
#define RINGWAY_BUFFER_TOO_SMALL -105

// -EINTR: somebody interrupted the call (ringway_interrupt). Signals alone do not.
#define RINGWAY_INTERRUPTED -4

// -EBUSY: a message or claim of this handle is held in place, so that it can do nothing else; or live processes are attached to what is to be
// removed, or hold all places for the role.
#define RINGWAY_BUSY -16

// -ECHILD: the handle was inherited through fork: the child opens the ring again.
#define RINGWAY_FORKED -10

// -EBADMSG: the memory holds what no peer of ringway's writes.
#define RINGWAY_CORRUPT -74

// -EINVAL: an argument is wrong: a null pointer, an address that does not parse, an option that there is not.
#define RINGWAY_INVALID -22

// -ERANGE: a number is none that a ring can have.
#define RINGWAY_OUT_OF_RANGE -34

// -EEXIST: something is at the address already.
#define RINGWAY_EXISTS -17

// -ENOENT: nothing is at the address.
#define RINGWAY_NOT_FOUND -2

// -EMEDIUMTYPE: something is at the address, but it is nothing of ringway's.
#define RINGWAY_NOT_A_RING -124

// -EPROTO: another layout, or not as was asked for; or shorter than its header says.
#define RINGWAY_INCOMPATIBLE -71

// -EINPROGRESS: it was never finished: its creator died or is stopped.
#define RINGWAY_HALF_MADE -115

// -EACCES: this process may not do that, or the object is somebody else's.
#define RINGWAY_DENIED -13

// -EKEYREJECTED: others can write in a ring of a kind that needs trust.
#define RINGWAY_UNTRUSTED -129

// -ENOSPC: memory, disk or a limit is exhausted.
#define RINGWAY_NO_SPACE -28

// -EOPNOTSUPP: this kind of address, ring or kernel cannot do that.
#define RINGWAY_UNSUPPORTED -95

// -ENOTRECOVERABLE: what lies beside the ring was removed (a semaphore set, the segment of a slab), or a process died and this one is denied the
// system call that would make sure that it is done. ringway_last_error says which.
#define RINGWAY_UNUSABLE -131

// -EOVERFLOW: messages that this receiver of a broadcast ring had asked for are gone: ringway_last_missed says how many. Told once; receive on.
#define RINGWAY_LAGGED -75

// -ESTALE: the sender waited for this receiver of a broadcast ring as long as its policy allows, and went on without it. Subscribe again.
#define RINGWAY_EVICTED -116

// -ETXTBSY: the value of a board was overwritten each time while it was copied. Read again.
#define RINGWAY_CHANGING -26

// -EREMOTEIO: the work of the server that was called failed: ringway_last_status and ringway_last_failure have what it says.
#define RINGWAY_FAILED -121

// -ECONNREFUSED: no server of the service is there. The request was not begun.
#define RINGWAY_NO_SERVER -111

// -ECONNABORTED: the server let the request go without an answer.
#define RINGWAY_LET_GO -103

// -ECANCELED: the caller of this request has left, died, or waits no longer. Serve the next one.
#define RINGWAY_CANCELLED -125

// -ETIME: the caller lives and does not take what was sent, for longer than the server's patience.
#define RINGWAY_NOT_TAKEN -62

// -EIO: the kernel refused for another reason.
#define RINGWAY_SYSTEM -5

// -EFAULT: a fault of ringway's own. The handle must only be freed.
#define RINGWAY_PANICKED -14

// The message is written by this program's own instructions and by no system call. Then also one that lies in the ring is written where it lies.
// (ringway_claim)
#define RINGWAY_IN_PLACE 1

// Begin with the oldest message that the ring holds. (start)
#define RINGWAY_OLDEST 0

// Begin with the next one that is sent. (start)
#define RINGWAY_LATEST 1

// Begin `start_at` messages before the next one. (start)
#define RINGWAY_LAST 2

// Begin with the message of number `start_at`. (start)
#define RINGWAY_NUMBER 3

// To wait for ever. Any negative time is. (timeout_ns)
#define RINGWAY_FOREVER -1

// To try once. (timeout_ns)
#define RINGWAY_NOW 0

// Nobody is attached on the other side.
#define RINGWAY_PEER_ABSENT 0

// A live process is.
#define RINGWAY_PEER_ALIVE 1

// It died, and nobody has taken its place.
#define RINGWAY_PEER_HAS_DIED 2

// It closed, and nobody has come since.
#define RINGWAY_PEER_HAS_CLOSED 3

// A board that this process has open: entries with names, and of each the latest value. One process at a time writes an entry, and waits for nobody; any number
// read it. Threads may share it. It gives writers, readers and watchers, which live on when it is freed. Freeing it removes nothing.
typedef struct ringway_board_t ringway_board_t;

// Calls a service, one call at a time. For one thread at a time; threads that call side by side have one each (ringway_client_another). If the process dies,
// at whatever instruction, its place is free at once, and its server is told.
typedef struct ringway_client_t ringway_client_t;

// What ends a call of a handle that waits, with RINGWAY_INTERRUPTED. It outlives its handle, and then does nothing. Threads may share it.
typedef struct ringway_interrupter_t ringway_interrupter_t;

// A message that was acknowledged and kept. It outlives its receiver; other threads may free it.
typedef struct ringway_message_t ringway_message_t;

// Reads one entry. For one thread at a time. It holds no place, and nobody waits for it.
typedef struct ringway_reader_t ringway_reader_t;

// The side that messages come out of. For one thread at a time; threads that receive side by side have one each.
//
// A message is the receiver's until it is acknowledged, which ringway_recv does when it has copied it, and ringway_release for who has it in
// place. If the process dies before, it comes again, here or to another receiver.
typedef struct ringway_receiver_t ringway_receiver_t;

// A ring that this process has open, or, where the address says so, a message queue of the kernel. Threads may share it. It gives senders and
// receivers, which live on when it is freed. Freeing it removes nothing.
typedef struct ringway_ring_t ringway_ring_t;

// The side that messages go in by. For one thread at a time; threads that send side by side have one each.
//
// A process that is killed leaves each message whole or not at all. The last sender to close ends the stream.
typedef struct ringway_sender_t ringway_sender_t;

// Serves the calls of a service, one at a time: ringway_server_next gives a request, and one of ringway_answer, ringway_end_answer, ringway_fail and
// ringway_let_go is its end. For one thread at a time; threads that serve side by side have one each (ringway_server_another), and so may other processes.
//
// If the process dies, at whatever instruction, the caller of its request is told (RINGWAY_PEER_DIED), or another server gets the request: as the caller wishes.
typedef struct ringway_server_t ringway_server_t;

// Reads whatever changes on a board. For one thread at a time.
typedef struct ringway_watcher_t ringway_watcher_t;

// The writer of one entry: it alone sets its value. For one thread at a time. When its process dies, at whatever instruction, another may take the role over at
// once, and the last whole value is still there.
typedef struct ringway_writer_t ringway_writer_t;

// What a board is to be like. All zero but the size is the default of everything: RINGWAY_BOARD_OPTIONS_INIT. One that is found must be as those options say
// that were set.
typedef struct ringway_board_options_t {
  // sizeof(ringway_board_options_t)
  size_t size;
  // How many entries it can have, up to 4096; 64 if it is 0, or as many as there are keys.
  uint32_t entries;
  // How many processes may write to it at once, from 2 to 120; 32 if it is 0.
  uint32_t writers;
  // Bytes of the longest value, rounded up to a power of two; 4096 if it is 0.
  uint64_t value_len;
  // Keys of entries to add at once; null if there are none.
  const char *const *keys;
  // How many that is.
  size_t key_count;
  // Permission bits, 0600 if it is 0.
  uint32_t mode;
  // Whether collectors leave it alone, whoever dies holding it: RINGWAY_YES, RINGWAY_NO.
  int32_t persistent;
  // Whether to touch every page at once. Here the default is yes.
  int32_t prefault;
  // Whether to lock it into memory.
  int32_t lock_memory;
  // Whether to open what belongs to another user.
  int32_t any_owner;
  // For how long opening waits for it to be made, in nanoseconds; negative is for ever.
  int64_t wait_ns;
} ringway_board_options_t;

// What a board is like. Set `size`, and give it to ringway_board_info.
typedef struct ringway_board_info_t {
  // sizeof(ringway_board_info_t)
  size_t size;
  // Bytes of the longest value.
  uint64_t max_value_len;
  // How many entries it can have.
  uint32_t entries;
  // How many processes may write to it at once.
  uint32_t writers;
  // Whether this call made it, and did not find it.
  bool is_new;
} ringway_board_info_t;

// Shows a key; it is valid until this returns.
typedef void (*ringway_each_key_t)(void *context, const char *key);

// An entry as an observer sees it.
typedef struct ringway_entry_t {
  // Its key, which ends with a zero byte.
  const char *key;
  // How many values it has had; 0 if it has none yet.
  uint64_t number;
  // Bytes of its value.
  uint64_t len;
  // The process id of its writer, as that one's own pid namespace counts it; 0 if nobody has written it, or the last one left.
  uint32_t writer;
  // Whether the writer lives.
  bool writer_alive;
} ringway_entry_t;

// Shows an entry; it is valid until this returns.
typedef void (*ringway_each_entry_t)(void *context, const struct ringway_entry_t *entry);

// Who is at the other end of a socket.
typedef struct ringway_peer_t {
  // Process id; 0 if it has none here.
  int32_t pid;
  // Effective user id.
  uint32_t uid;
  // Effective group id.
  uint32_t gid;
} ringway_peer_t;

// How calls are made. All zero but the size is the default of everything: RINGWAY_CONNECT_OPTIONS_INIT.
typedef struct ringway_connect_options_t {
  // sizeof(ringway_connect_options_t)
  size_t size;
  // Whether a request whose server dies, or lets it go, is served again by the next one: RINGWAY_YES. Else its caller is told.
  int32_t at_least_once;
  // How often one request is begun at most then; 10 if it is 0.
  uint32_t attempts;
  // For how long a call goes on although no server is there, in nanoseconds; negative is for ever.
  int64_t grace_ns;
  // Bytes of the longest answer, or part of one, that is gathered; 64 MiB if it is 0.
  size_t max_answer;
  // For how long connecting waits for the service, and for a server, in nanoseconds; negative is for ever.
  int64_t wait_ns;
  // As of ringway_handle_options_t.
  int64_t spin_ns;
  // Whether to connect to what belongs to another user.
  int32_t any_owner;
} ringway_connect_options_t;

// An answer, or a part of one. Its bytes are the client's, until its next call that gets something.
typedef struct ringway_answer_t {
  // Its first byte; never null.
  const void *data;
  // Its bytes.
  size_t len;
} ringway_answer_t;

// How a handle works. All zero but the size is the default: RINGWAY_HANDLE_OPTIONS_INIT.
typedef struct ringway_handle_options_t {
  // sizeof(ringway_handle_options_t)
  size_t size;
  // For how long calls that wait spin before they sleep, in nanoseconds. 0: 50 microseconds. RINGWAY_SPIN, RINGWAY_PARK.
  int64_t spin_ns;
  // Of a sender: from how many bytes on a message goes in a slab, if there are slabs; 0 is 64 KiB.
  size_t copy_limit;
} ringway_handle_options_t;

// A value that was read. Its bytes are a copy that belongs to who has read it, until that one reads again or is freed.
typedef struct ringway_value_t {
  // Its first byte; never null.
  const void *data;
  // Its bytes.
  size_t len;
  // How many values the entry has had, with this one.
  uint64_t number;
} ringway_value_t;

// A ring or a queue as an observer sees it. Set `size`, and give it to ringway_stat. What a queue does not tell is 0.
typedef struct ringway_stat_t {
  // sizeof(ringway_stat_t)
  size_t size;
  // RINGWAY_SPSC, ...
  uint32_t kind;
  // RINGWAY_FUTEX, ...
  uint32_t sync;
  // Bytes for messages.
  uint64_t capacity;
  // Bytes that messages take now.
  uint64_t used;
  // Messages that wait.
  uint64_t messages;
  // Messages ever sent.
  uint64_t sent;
  // Messages ever received and released.
  uint64_t received;
  // What the dead left and others put in order.
  uint64_t repaired;
  // Messages that senders overwrote.
  uint64_t overwritten;
  // How many senders ever attached.
  uint64_t senders_ever;
  // When it was made, nanoseconds since 1970.
  uint64_t created_ns;
  // Live senders.
  uint32_t senders;
  // Live receivers.
  uint32_t receivers;
  // Places that the dead hold.
  uint32_t dead;
  // Whether it is a message queue of the kernel.
  bool is_queue;
  // Whether senders overwrite the oldest message when it is full.
  bool overwrites_oldest;
  // Whether the last sender to leave closed, and none has come since.
  bool senders_closed;
  // Whether the last receiver to leave closed, and none has come since.
  bool receivers_closed;
} ringway_stat_t;

// One who is attached to a ring, or died attached to it.
typedef struct ringway_participant_t {
  // Its process id as this process can use it; 0 if it cannot be seen from here, or has gone.
  uint32_t pid;
  // Whether it is a receiver, and no sender.
  bool is_receiver;
  // Whether it lives, by the kernel's word.
  bool alive;
  // Whether it sleeps, for a message or for room; not known of kind spsc with sync futex.
  bool sleeps;
  // When it attached, nanoseconds since 1970.
  uint64_t attached_ns;
  // Messages that holders of its place ever sent or released.
  uint64_t messages;
} ringway_participant_t;

// Shows a participant; it is valid until this returns.
typedef void (*ringway_each_participant_t)(void *context, const struct ringway_participant_t *participant);

// Shows an address; it is valid until this returns.
typedef void (*ringway_each_address_t)(void *context, const char *address);

// What ringway_gc looks at and does. All zero but the size: all there is, and nothing is removed: RINGWAY_GC_OPTIONS_INIT.
typedef struct ringway_gc_options_t {
  // sizeof(ringway_gc_options_t)
  size_t size;
  // The one ring or queue to look at; null: all.
  const char *address;
  // How the names of rings begin that it looks at; null: any.
  const char *prefix;
  // Leaves alone what was made or used in the last so many nanoseconds.
  uint64_t older_than_ns;
  // RINGWAY_YES removes what it finds; else it only tells.
  int32_t remove;
  // RINGWAY_YES removes rings in which messages wait, too.
  int32_t undelivered;
} ringway_gc_options_t;

// Shows what was found: what it is, RINGWAY_GC_REMOVED, ..., and why it stays ("" of others). The texts are valid until this returns.
typedef void (*ringway_each_found_t)(void *context, const char *what, int32_t fate, const char *why);

// A message in place.
typedef struct ringway_view_t {
  // Its first byte; never null.
  const void *data;
  // Its bytes.
  size_t len;
  // What tells it from all others of its ring; it has it again when it comes again. 0 of a queue.
  uint64_t number;
  // How often it was delivered, with this time: 1 the first time. It counts up to 15.
  uint32_t deliveries;
} ringway_view_t;

// What ringway_drain shows messages to: returns 0 to go on. Anything else ends it, and that message is not acknowledged.
typedef int (*ringway_each_t)(void *context, const void *data, size_t len);

// Slabs of one length.
typedef struct ringway_slabs_t {
  // Bytes of each.
  uint64_t len;
  // How many.
  uint32_t count;
} ringway_slabs_t;

// What a ring or queue is to be like. All zero but the size is the default of everything: RINGWAY_OPTIONS_INIT.
//
// A ring that is found must be as those options say that were set; else RINGWAY_INCOMPATIBLE. A queue (mq:, sysvmq:) takes mode, any_owner,
// wait_ns, messages, message_len and priorities.
typedef struct ringway_options_t {
  // sizeof(ringway_options_t)
  size_t size;
  // RINGWAY_SPSC, ...; RINGWAY_SPSC if it is 0.
  uint32_t kind;
  // RINGWAY_FUTEX, ...; RINGWAY_FUTEX if it is 0.
  uint32_t sync;
  // Bytes for messages, rounded up to a power of two; 4 MiB if it is 0.
  uint64_t capacity;
  // How many may be attached in a role that there are many of, from 1 to 60; 32 if it is 0.
  uint32_t participants;
  // Bytes of a cell, in rings that have cells; 128 if it is 0.
  uint32_t cell_len;
  // Slabs for long messages, of up to four lengths; null if there are none.
  const struct ringway_slabs_t *slabs;
  // How many lengths that is.
  size_t slab_lengths;
  // Whether each slab is a segment of its own.
  int32_t slab_segments;
  // Whether a full ring loses its oldest message instead of having senders wait.
  int32_t overwrite_oldest;
  // Whether collectors leave it alone, whoever dies holding it.
  int32_t persistent;
  // Permission bits, 0600 if it is 0.
  uint32_t mode;
  // Whether to touch every page at once. Here the default is yes.
  int32_t prefault;
  // Whether to lock it into memory.
  int32_t lock_memory;
  // Whether a new one lies in reserved huge pages.
  int32_t huge_pages;
  // Whether to open what belongs to another user.
  int32_t any_owner;
  // Whether all who can write there are trusted.
  int32_t trust_peers;
  // Of a new queue, the most messages; 0 is the system's default.
  uint32_t messages;
  // For how long opening waits for it to be made, in nanoseconds; negative is for ever.
  int64_t wait_ns;
  // Of a new queue, bytes of its longest message; 0 is the system's default.
  size_t message_len;
  // Of a new queue, whether it has priorities. Here the default is yes.
  int32_t priorities;
  // Which policies the receivers of a new broadcast ring may choose: RINGWAY_BLOCK | RINGWAY_LOSSY, say; all if it is 0.
  uint32_t policies;
} ringway_options_t;

// What a ring is like. Set `size`, and give it to ringway_ring_info.
typedef struct ringway_ring_info_t {
  // sizeof(ringway_ring_info_t)
  size_t size;
  // RINGWAY_SPSC, ...
  uint32_t kind;
  // RINGWAY_FUTEX, ...; 0 of a queue.
  uint32_t sync;
  // Bytes for messages; 0 of a queue.
  uint64_t capacity;
  // The longest message, in bytes.
  uint64_t max_message_len;
  // How many senders may be attached at once; 0 of a queue, which does not limit them.
  uint32_t max_senders;
  // How many receivers may be attached at once.
  uint32_t max_receivers;
  // Bytes of a cell; 0 if there are none.
  uint32_t cell_len;
  // Whether it is a message queue of the kernel.
  bool is_queue;
  // Whether this call made it, and did not find it.
  bool is_new;
  // What tells it from any other that had its address; zero of a queue.
  uint8_t nonce[16];
} ringway_ring_info_t;

// How calls are served. All zero but the size is the default of everything: RINGWAY_SERVE_OPTIONS_INIT. A service that is found must be as clients, part_len,
// mode and persistent say, if they are set.
typedef struct ringway_serve_options_t {
  // sizeof(ringway_serve_options_t)
  size_t size;
  // How many client handles a new service has room for, up to 2032; 240 if it is 0.
  uint32_t clients;
  // Permission bits, 0600 if it is 0. Who calls needs the right to write.
  uint32_t mode;
  // Bytes, with their header, that go in one piece, rounded up to a power of two; 4096 if it is 0.
  uint64_t part_len;
  // Bytes of the longest request that is taken; 64 MiB if it is 0.
  size_t max_request;
  // How long a caller that lives may let a part wait, in nanoseconds; 10 seconds if it is 0, negative is for ever.
  int64_t patience_ns;
  // As of ringway_handle_options_t.
  int64_t spin_ns;
  // Whether collectors leave it alone, whoever dies holding it: RINGWAY_YES, RINGWAY_NO.
  int32_t persistent;
  // Whether to serve at what belongs to another user.
  int32_t any_owner;
} ringway_serve_options_t;

// A request, whose memory is the server's until its end.
typedef struct ringway_request_t {
  // Its first byte; never null.
  const void *data;
  // Its bytes.
  size_t len;
  // For how long its caller waits yet, in nanoseconds; RINGWAY_FOREVER.
  int64_t left_ns;
  // Whether another server may have begun with it before, and has died or let it go.
  bool is_repeated;
} ringway_request_t;

// How a receiver of a broadcast ring takes part. All zero but the size: with the oldest message, blocking the sender, without a name:
// RINGWAY_SUBSCRIPTION_INIT. What it begins with and is gone already is told first, as RINGWAY_LAGGED.
typedef struct ringway_subscription_t {
  // sizeof(ringway_subscription_t)
  size_t size;
  // RINGWAY_OLDEST, ...
  uint32_t start;
  // What becomes of the sender when this receiver does not keep up: RINGWAY_BLOCK, ...; RINGWAY_BLOCK if it is 0.
  uint32_t policy;
  // Of RINGWAY_LAST how many messages, of RINGWAY_NUMBER which one.
  uint64_t start_at;
  // Of RINGWAY_EVICT, when it is more than so many bytes of the ring behind; 0 if `evict_ns` is the limit.
  uint64_t evict_bytes;
  // Of RINGWAY_EVICT, when the sender has waited for so many nanoseconds; 0 if `evict_bytes` is the limit.
  uint64_t evict_ns;
  // A name of up to 64 bytes, under which the ring keeps the receiver's place: who subscribes with it again goes on with the first message that was
  // not released, whatever `start` says. Null: none.
  const char *name;
} ringway_subscription_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a new board, and gives it in `*board`, to be freed by ringway_board_free. `options` may be null.
//
// Fails as ringway_create does.
//
// The caller promises:
// `address` and keys end with a zero byte; `options` has the size that it says; `board` may be written.
int ringway_board_create(const char *address,
                         const struct ringway_board_options_t *options,
                         struct ringway_board_t **board);

// Opens the board at `address`; with `wait_ns`, for so long waits for it to be made. Otherwise as ringway_board_create.
//
// Fails as ringway_open does.
//
// The caller promises:
// As of ringway_board_create.
int ringway_board_open(const char *address,
                       const struct ringway_board_options_t *options,
                       struct ringway_board_t **board);

// Opens the board at `address`, or makes it. Of several that come at once, one makes it and the others find it.
//
// The caller promises:
// As of ringway_board_create.
int ringway_board_open_or_create(const char *address,
                                 const struct ringway_board_options_t *options,
                                 struct ringway_board_t **board);

// Frees a board. Its writers, readers and watchers go on; nothing is removed (ringway_remove does). Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_board_free(struct ringway_board_t *board);

// As ringway_ring_address.
//
// The caller promises:
// `buffer` has `size` bytes.
int64_t ringway_board_address(const struct ringway_board_t *board, char *buffer, size_t size);

// What the board is like. `info->size` says how much of it there is.
//
// The caller promises:
// `info` has the size that it says.
int ringway_board_info(const struct ringway_board_t *board, struct ringway_board_info_t *info);

// 1 if the board has lost its name, 0 if not, as ringway_ring_is_removed says of rings.
//
// The caller promises:
// The board is from this library.
int ringway_board_is_removed(const struct ringway_board_t *board);

// Shows the keys of all entries, in the order in which they were added. Returns how many.
//
// The caller promises:
// The board is from this library; `each` does what it says.
int64_t ringway_board_keys(const struct ringway_board_t *board, ringway_each_key_t each, void *context);

// Shows the entries of the board at `address`, without opening it. Returns how many; 0 of what is no board. (ringway_stat tells of the participants.)
//
// Fails as ringway_open does.
//
// The caller promises:
// `address` ends with a zero byte; `each` does what it says.
int64_t ringway_board_stat(const char *address,
                           ringway_each_entry_t each,
                           void *context);

// Hands a memfd: board to the process at the other end of a connected Unix socket, which calls ringway_board_take_over. `peer` (may be null) is told who that is.
// The socket stays the caller's.
//
// The caller promises:
// The board is from this library; `peer` may be written.
int ringway_board_hand_over(const struct ringway_board_t *board,
                            int socket,
                            struct ringway_peer_t *peer);

// Receives a memfd: board that the process at the other end of a connected Unix socket hands over, and gives it in `*board`, to be freed by ringway_board_free.
// `options` and `peer` may be null. The socket stays the caller's.
//
// The caller promises:
// As of ringway_board_create; `peer` may be written.
int ringway_board_take_over(int socket,
                            const struct ringway_board_options_t *options,
                            struct ringway_board_t **board,
                            struct ringway_peer_t *peer);

// Connects to the service at `address`, and gives the client in `*client`, to be freed by ringway_client_free. `options` may be null.
//
// Fails with RINGWAY_NOT_FOUND if there is no service, RINGWAY_TIMED_OUT if neither it nor a server of it came within wait_ns, RINGWAY_INCOMPATIBLE if what
// is there is none, RINGWAY_BUSY if it has no room for one more, and as ringway_open does.
//
// The caller promises:
// `address` ends with a zero byte; `options` has the size that it says; `client` may be written.
int ringway_connect(const char *address,
                    const struct ringway_connect_options_t *options,
                    struct ringway_client_t **client);

// Gives in `*another` one more client, for another thread, which makes its calls as this one does; to be freed by ringway_client_free.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `another` may be written.
int ringway_client_another(struct ringway_client_t *client,
                           struct ringway_client_t **another);

// Leaves and frees the client, and its last answer. A call that is not over is cancelled. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_client_free(struct ringway_client_t *client);

// As ringway_ring_address.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `buffer` has `size` bytes.
int64_t ringway_client_address(struct ringway_client_t *client, char *buffer, size_t size);

// How many servers are there now.
//
// The caller promises:
// The client is from this library, and used by this thread alone.
int64_t ringway_client_servers(struct ringway_client_t *client);

// Sends a request of `len` bytes to one of the servers, and gives its whole answer in `*answer`. Waits for that for at most `timeout_ns` nanoseconds.
//
// Fails with RINGWAY_FAILED (ringway_last_status and ringway_last_failure have what the server says), RINGWAY_PEER_DIED if the server died with the request,
// RINGWAY_LET_GO, RINGWAY_NO_SERVER, RINGWAY_TIMED_OUT, RINGWAY_INTERRUPTED, RINGWAY_TOO_LARGE of a request or an answer, RINGWAY_REMOVED, RINGWAY_BUSY,
// RINGWAY_CORRUPT, RINGWAY_FORKED. Then the call is over, and its server is told.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `data` has `len` bytes, and `answer` may be written.
int ringway_call(struct ringway_client_t *client,
                 const void *data,
                 size_t len,
                 struct ringway_answer_t *answer,
                 int64_t timeout_ns);

// Begins a call whose answer is taken by ringway_next_part, and which is over in `timeout_ns` nanoseconds at the latest. The request is copied.
//
// Fails as ringway_call.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `data` has `len` bytes.
int ringway_call_begin(struct ringway_client_t *client,
                       const void *data,
                       size_t len,
                       int64_t timeout_ns);

// Gives the next part of the answer in `*part`, and returns 1; returns 0 at its end, and then the call is over. Waits for at most `timeout_ns` nanoseconds;
// RINGWAY_EMPTY says that nothing has come until then, and that the call goes on.
//
// Fails as ringway_call, and then the call is over, but for RINGWAY_EMPTY and RINGWAY_INTERRUPTED.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `part` may be written.
int ringway_next_part(struct ringway_client_t *client,
                      struct ringway_answer_t *part,
                      int64_t timeout_ns);

// Ends the call that was begun: its server is told that nobody waits. Does nothing if there is none.
//
// The caller promises:
// The client is from this library, and used by this thread alone.
int ringway_call_cancel(struct ringway_client_t *client);

// As ringway_receiver_descriptor: it becomes readable after ringway_client_arm. Get it before a call is begun.
//
// The caller promises:
// The client is from this library, and used by this thread alone.
int ringway_client_descriptor(struct ringway_client_t *client);

// As ringway_receiver_arm, of a call that was begun: 1, and the descriptor becomes readable when ringway_next_part is worth calling; 0, and it is now. It may
// become readable for nothing, and has to be heeded: a call looks after itself a few times a second. It fails as ringway_next_part, and then the call is over.
//
// The caller promises:
// The client is from this library, and used by this thread alone.
int ringway_client_arm(struct ringway_client_t *client);

// Takes ringway_client_arm back.
//
// The caller promises:
// The client is from this library, and used by this thread alone.
int ringway_client_disarm(struct ringway_client_t *client);

// Gives in `*interrupter` what ends calls of this client that wait, to be freed by ringway_interrupter_free.
//
// The caller promises:
// The client is from this library, and used by this thread alone; `interrupter` may be written.
int ringway_client_interrupter(struct ringway_client_t *client, struct ringway_interrupter_t **interrupter);

// Takes the role of the entry with that key, which is added if it is not there yet; the writer is given in `*writer`, to be freed by ringway_writer_free.
//
// Fails with RINGWAY_BUSY if a live process writes the entry, or live processes have all places for writers, RINGWAY_NO_SPACE if all entries have other keys,
// RINGWAY_INVALID, RINGWAY_UNSUPPORTED, RINGWAY_NOT_FOUND, RINGWAY_FORKED.
//
// The caller promises:
// The board is from this library; `entry` ends with a zero byte.
int ringway_board_writer(const struct ringway_board_t *board,
                         const char *entry,
                         struct ringway_writer_t **writer);

// Gives the role up; the value stays. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_writer_free(struct ringway_writer_t *writer);

// Publishes a value, and returns its number: the first one that the entry ever had is 1. It waits for nobody.
//
// Fails with RINGWAY_TOO_LARGE, RINGWAY_FORKED; then the last value is still there.
//
// The caller promises:
// The writer is from this library, and used by this thread alone; `data` has `len` bytes.
int64_t ringway_set(struct ringway_writer_t *writer, const void *data, size_t len);

// The number of the value that is there; 0 before the first.
//
// The caller promises:
// The writer is from this library, and used by this thread alone.
int64_t ringway_writer_number(const struct ringway_writer_t *writer);

// A reader of the entry with that key, which may be added later; given in `*reader`, to be freed by ringway_reader_free. `options` may be null.
//
// Fails with RINGWAY_INVALID.
//
// The caller promises:
// The board is from this library; `options` has the size that it says; `entry` ends with a zero byte.
int ringway_board_reader(const struct ringway_board_t *board,
                         const struct ringway_handle_options_t *options,
                         const char *entry,
                         struct ringway_reader_t **reader);

// Frees a reader, and the value that it has read last. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_reader_free(struct ringway_reader_t *reader);

// Reads the latest value, whether it was read before or not. Returns 1, or 0 if there is none yet. It waits for nobody.
//
// Fails with RINGWAY_CHANGING, RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The reader is from this library, and used by this thread alone; `value` may be written.
int ringway_get(struct ringway_reader_t *reader,
                struct ringway_value_t *value);

// Reads the latest value if it is newer than the last one that this handle has read, and else waits for one for at most `timeout_ns` nanoseconds.
//
// Fails with RINGWAY_EMPTY (with RINGWAY_NOW), RINGWAY_TIMED_OUT, RINGWAY_PEER_DIED, once for each death of a writer, RINGWAY_REMOVED, RINGWAY_INTERRUPTED,
// RINGWAY_CHANGING, RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The reader is from this library, and used by this thread alone; `value` may be written.
int ringway_get_newer(struct ringway_reader_t *reader,
                      struct ringway_value_t *value,
                      int64_t timeout_ns);

// What is known of the entry's writer: RINGWAY_PEER_ABSENT, RINGWAY_PEER_ALIVE or RINGWAY_PEER_HAS_DIED.
//
// The caller promises:
// The reader is from this library, and used by this thread alone.
int ringway_reader_peer(struct ringway_reader_t *reader);

// As ringway_receiver_descriptor: it becomes readable after ringway_reader_arm.
//
// The caller promises:
// The reader is from this library, and used by this thread alone.
int ringway_reader_descriptor(struct ringway_reader_t *reader);

// As ringway_receiver_arm: 1, and the descriptor becomes readable when there may be a newer value; 0, and there is one now. It fails as ringway_get_newer.
//
// The caller promises:
// The reader is from this library, and used by this thread alone.
int ringway_reader_arm(struct ringway_reader_t *reader);

// Gives in `*interrupter` what ends calls of this reader that wait, to be freed by ringway_interrupter_free.
//
// The caller promises:
// The reader is from this library, and used by this thread alone.
int ringway_reader_interrupter(struct ringway_reader_t *reader, struct ringway_interrupter_t **interrupter);

// A watcher, who reads all entries: of each the latest value, and again when there is a newer one; given in `*watcher`, to be freed by ringway_watcher_free.
// `options` may be null.
//
// The caller promises:
// The board is from this library; `options` has the size that it says.
int ringway_board_watch(const struct ringway_board_t *board,
                        const struct ringway_handle_options_t *options,
                        struct ringway_watcher_t **watcher);

// Frees a watcher, and what it has read last. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_watcher_free(struct ringway_watcher_t *watcher);

// Reads a value that this watcher has not read yet, and tells the key of its entry in `*entry`; waits for one for at most `timeout_ns` nanoseconds. Both are the
// watcher's, until it reads again or is freed.
//
// Fails as ringway_get_newer, but for RINGWAY_PEER_DIED: no death ends it.
//
// The caller promises:
// The watcher is from this library, and used by this thread alone; `entry` and `value` may be written.
int ringway_watch(struct ringway_watcher_t *watcher,
                  const char **entry,
                  struct ringway_value_t *value,
                  int64_t timeout_ns);

// As ringway_receiver_descriptor: it becomes readable after ringway_watcher_arm.
//
// The caller promises:
// The watcher is from this library, and used by this thread alone.
int ringway_watcher_descriptor(struct ringway_watcher_t *watcher);

// As ringway_reader_arm.
//
// The caller promises:
// The watcher is from this library, and used by this thread alone.
int ringway_watcher_arm(struct ringway_watcher_t *watcher);

// Gives in `*interrupter` what ends calls of this watcher that wait, to be freed by ringway_interrupter_free.
//
// The caller promises:
// The watcher is from this library, and used by this thread alone.
int ringway_watcher_interrupter(struct ringway_watcher_t *watcher,
                                struct ringway_interrupter_t **interrupter);

// Looks at the ring or queue at `address`, without taking part. `stat->size` says how much of it there is. `each` (may be null) is shown each participant
// of a ring.
//
// Fails as ringway_open does.
//
// The caller promises:
// `address` ends with a zero byte; `stat` has the size that it says.
int ringway_stat(const char *address,
                 struct ringway_stat_t *stat,
                 ringway_each_participant_t each,
                 void *context);

// Shows the addresses of all rings and queues of ringway's on this machine that have a name which can be listed and that this user may read.
// Returns how many.
//
// The caller promises:
// `each` does what it says.
int64_t ringway_list(ringway_each_address_t each,
                     void *context);

// Removes the ring or queue at `address`. Processes that have it open go on; nobody else will find it. Unless `force` is set, that is refused
// (RINGWAY_BUSY) while a live process is attached.
//
// The caller promises:
// `address` ends with a zero byte.
int ringway_remove(const char *address,
                   bool force);

// Collects what dead processes left behind: it hurts nobody who lives, and keeps messages that nobody has received, unless that is asked for.
// `options` and `each` may be null. Returns how many things were removed, or would be.
//
// The caller promises:
// `options` has the size that it says.
int64_t ringway_gc(const struct ringway_gc_options_t *options,
                   ringway_each_found_t each,
                   void *context);

// What the last error of this thread was, as a sentence that says what to do next. "" if there was none. It is valid until the next call of
// ringway's that fails in this thread, and belongs to the library. (A call that succeeds leaves it as it is.)
const char *ringway_last_error(void);

// Of the last error of this thread, the errno that the kernel gave; 0 if it gave none.
int ringway_last_errno(void);

// Of the last error of this thread, if that was RINGWAY_LAGGED, how many messages are gone: 0 if it was overtaken again at once, and a later call
// tells.
uint64_t ringway_last_missed(void);

// Of the last error of this thread, if that was RINGWAY_FAILED, the status that the server gave; else 0.
int ringway_last_status(void);

// Of the last error of this thread, if that was RINGWAY_FAILED, the bytes that the server gave, most often a text without a zero byte, and in `*len` how many; else
// none. Never null. They are valid until the next call of ringway's that fails in this thread, and belong to the library.
//
// The caller promises:
// `len` may be written.
const void *ringway_last_failure(size_t *len);

// The name of what a call has returned: "RINGWAY_CLOSED" and so on; "0" of a call that has worked. Static. (RINGWAY_FULL and RINGWAY_EMPTY
// are the same number.)
const char *ringway_error_name(int64_t result);

// Copies the next message to `buffer`, acknowledges it, and gives its length in `*len`. Waits for it for at most `timeout_ns` nanoseconds;
// RINGWAY_NOW tries once, RINGWAY_FOREVER waits.
//
// Fails with RINGWAY_EMPTY, RINGWAY_TIMED_OUT, RINGWAY_CLOSED, RINGWAY_PEER_DIED, RINGWAY_REMOVED, RINGWAY_BUFFER_TOO_SMALL (`*len` is its length, and
// it stays the next one), RINGWAY_INTERRUPTED, RINGWAY_BUSY, RINGWAY_FORKED, RINGWAY_CORRUPT, RINGWAY_UNUSABLE.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone; `buffer` has `size` bytes, and `len` may be written.
int ringway_recv(struct ringway_receiver_t *receiver,
                 void *buffer,
                 size_t size,
                 size_t *len,
                 int64_t timeout_ns);

// Receives the next message where it lies, and tells in `*view` where that is. Nothing is copied. It stays there until ringway_release,
// ringway_give_back or ringway_detach; meanwhile the receiver does nothing else (RINGWAY_BUSY). Waits and fails as ringway_recv.
//
// A hostile peer could change it meanwhile; ringway_recv copies.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone; `view` may be written.
int ringway_recv_view(struct ringway_receiver_t *receiver,
                      struct ringway_view_t *view,
                      int64_t timeout_ns);

// Acknowledges the message in place, so that it does not come again. Its memory is no longer the caller's.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_release(struct ringway_receiver_t *receiver);

// Gives the message in place back: whoever receives next gets it again, this receiver or another one.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_give_back(struct ringway_receiver_t *receiver);

// Acknowledges the message in place and keeps it, in `*message`, to be freed by ringway_message_free; the receiver can go on. Nothing is copied of one that lies
// in a slab, which its sender can use again then. Of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone; `message` may be written.
int ringway_detach(struct ringway_receiver_t *receiver,
                   struct ringway_message_t **message);

// Tells in `*view` where a kept message lies.
//
// The caller promises:
// The message is from this library; `view` may be written.
int ringway_message_view(const struct ringway_message_t *message, struct ringway_view_t *view);

// Frees a kept message. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_message_free(struct ringway_message_t *message);

// Shows up to `most` messages that are there now to `each`, in order, and acknowledges them together at the end. Returns how many were acknowledged; 0 if
// there was none. Of a ring. `each` must not use the receiver, nor leave by longjmp or an exception.
//
// Fails as ringway_recv, if the first message cannot be received; what lies behind one that was shown, the next call tells.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int64_t ringway_drain(struct ringway_receiver_t *receiver,
                      size_t most,
                      ringway_each_t each,
                      void *context);

// Waits until there is a message, or fails as ringway_recv does; of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_wait(struct ringway_receiver_t *receiver, int64_t timeout_ns);

// Returns a descriptor for epoll, poll and the loops that are made of them. It is the receiver's, and closed with it: it must not be read, written or closed.
// It becomes readable after ringway_receiver_arm; of a POSIX queue, while there are messages.
//
// Take what is there until RINGWAY_EMPTY, then arm; if that returns 0, something came meanwhile: take it. If it returns 1, wait for the descriptor.
//
// Fails with RINGWAY_NO_SPACE, RINGWAY_FORKED, RINGWAY_UNSUPPORTED (of System V queues).
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_descriptor(struct ringway_receiver_t *receiver);

// Has the descriptor become readable when there may be a message, or none will come, and returns 1; or returns 0, as there is a message now. It may
// become readable for nothing; what was readable before is not any more. A call that waits takes it back. Of a ring. Fails as ringway_receiver_wait does.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_arm(struct ringway_receiver_t *receiver);

// Takes ringway_receiver_arm back: the descriptor is not readable, and does not become so. Of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_disarm(struct ringway_receiver_t *receiver);

// Waits until a sender is attached, or has been and left a message: to go on after RINGWAY_CLOSED or RINGWAY_PEER_DIED.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_wait_for_peer(struct ringway_receiver_t *receiver,
                                   int64_t timeout_ns);

// What is known of the senders: RINGWAY_PEER_ALIVE, ...
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_peer(struct ringway_receiver_t *receiver);

// 1 if the sender's attachment with that ringway_sender_id still lives, 0 if not; of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_is_attached(struct ringway_receiver_t *receiver, uint64_t id);

// 1 if all that was committed before this call is received, 0 if not; of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_is_drained(struct ringway_receiver_t *receiver);

// Messages that the ring's receivers have ever received and released; of a queue, that this one has.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int64_t ringway_receiver_received(struct ringway_receiver_t *receiver);

// Messages that were ever lost because senders overwrite the oldest; of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int64_t ringway_receiver_lost(struct ringway_receiver_t *receiver);

// Acknowledges the next message unread if it lies in a slab that this process cannot map (RINGWAY_UNUSABLE), and returns 1 if that was so, else 0;
// of a ring.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_skip_unreadable(struct ringway_receiver_t *receiver);

// Leaves and frees the receiver: the next one goes on with the next message, and senders wait for it. A message in place comes again. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
int ringway_receiver_leave(struct ringway_receiver_t *receiver);

// Leaves and frees the receiver, and refuses further messages if it is the last one: senders get RINGWAY_CLOSED until another one comes. Null is let pass.
//
// The caller promises:
// As of ringway_receiver_leave.
int ringway_receiver_close(struct ringway_receiver_t *receiver);

// Makes a new ring or queue, and gives it in `*ring`, to be freed by ringway_ring_free. `options` may be null.
//
// Fails with RINGWAY_EXISTS, RINGWAY_INVALID, RINGWAY_OUT_OF_RANGE, RINGWAY_NO_SPACE, RINGWAY_DENIED, RINGWAY_UNSUPPORTED, RINGWAY_UNTRUSTED.
//
// The caller promises:
// `address` ends with a zero byte; `options` has the size that it says.
int ringway_create(const char *address,
                   const struct ringway_options_t *options,
                   struct ringway_ring_t **ring);

// Opens what is there, and gives it in `*ring`, to be freed by ringway_ring_free. `options` may be null; with wait_ns it waits for the ring to
// be made.
//
// Fails with RINGWAY_NOT_FOUND, RINGWAY_TIMED_OUT, and one for each way in which it is nothing that can be used: RINGWAY_NOT_A_RING,
// RINGWAY_INCOMPATIBLE, RINGWAY_CORRUPT, RINGWAY_HALF_MADE, RINGWAY_DENIED, RINGWAY_UNTRUSTED.
//
// The caller promises:
// As of ringway_create.
int ringway_open(const char *address,
                 const struct ringway_options_t *options,
                 struct ringway_ring_t **ring);

// Opens what is there, or makes it. Fails as ringway_create and ringway_open do.
//
// The caller promises:
// As of ringway_create.
int ringway_open_or_create(const char *address,
                           const struct ringway_options_t *options,
                           struct ringway_ring_t **ring);

// Gives up a ring. Its senders and receivers live on. Null is let pass.
//
// The caller promises:
// It comes from this library, and is not used any more.
void ringway_ring_free(struct ringway_ring_t *ring);

// Copies where the ring is, with a zero byte at the end, to `buffer`, as much as fits, and returns how long it is without that byte: if that is not
// less than `size`, it did not fit. Never auto:, but what that stands for.
//
// The caller promises:
// `buffer` has `size` bytes.
int64_t ringway_ring_address(const struct ringway_ring_t *ring,
                             char *buffer,
                             size_t size);

// What the ring is like. `info->size` says how much of it there is.
//
// The caller promises:
// `info` has the size that it says.
int ringway_ring_info(const struct ringway_ring_t *ring, struct ringway_ring_info_t *info);

// 1 if the ring has lost its name, 0 if not: it works on for all who have it open, and nobody else finds it. Asks the kernel.
//
// The caller promises:
// The ring is from this library.
int ringway_ring_is_removed(const struct ringway_ring_t *ring);

// Hands a memfd: ring to the process at the other end of a connected Unix socket, which calls ringway_take_over. `peer` (may be null) is told who that is. The
// socket stays the caller's.
//
// The caller promises:
// The ring is from this library; `peer` may be written.
int ringway_ring_hand_over(const struct ringway_ring_t *ring,
                           int socket,
                           struct ringway_peer_t *peer);

// Receives a memfd: ring that the process at the other end of a connected Unix socket hands over, and gives it in `*ring`, to be freed by ringway_ring_free.
// `options` and `peer` may be null. The socket stays the caller's.
//
// The caller promises:
// As of ringway_create; `peer` may be written.
int ringway_take_over(int socket,
                      const struct ringway_options_t *options,
                      struct ringway_ring_t **ring,
                      struct ringway_peer_t *peer);

// Attaches this process as a sender, given in `*sender`, to be ended by ringway_sender_close or ringway_sender_leave. `options` may be null.
//
// Fails with RINGWAY_BUSY if live processes have all places for senders, RINGWAY_NOT_FOUND, RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The ring is from this library; `options` has the size that it says.
int ringway_ring_sender(const struct ringway_ring_t *ring,
                        const struct ringway_handle_options_t *options,
                        struct ringway_sender_t **sender);

// Attaches this process as a receiver, given in `*receiver`, to be ended by ringway_receiver_leave or ringway_receiver_close. `options` may be
// null.
//
// Fails as ringway_ring_sender does.
//
// The caller promises:
// As of ringway_ring_sender.
int ringway_ring_receiver(const struct ringway_ring_t *ring,
                          const struct ringway_handle_options_t *options,
                          struct ringway_receiver_t **receiver);

// Sends a copy of `len` bytes, waiting for room for at most `timeout_ns` nanoseconds; RINGWAY_NOW tries once, RINGWAY_FOREVER waits.
//
// Fails with RINGWAY_FULL, RINGWAY_TIMED_OUT, RINGWAY_CLOSED, RINGWAY_PEER_DIED, RINGWAY_REMOVED, RINGWAY_TOO_LARGE, RINGWAY_INTERRUPTED,
// RINGWAY_BUSY, RINGWAY_FORKED, RINGWAY_CORRUPT, RINGWAY_UNUSABLE; then nothing is sent.
//
// The caller promises:
// The sender is from this library, and used by this thread alone; `len` bytes are there.
int ringway_send(struct ringway_sender_t *sender,
                 const void *data,
                 size_t len,
                 int64_t timeout_ns);

// The same with a priority: a queue receives messages of a higher one first. Of a queue that was made with priorities, else RINGWAY_UNSUPPORTED.
//
// The caller promises:
// As of ringway_send.
int ringway_send_priority(struct ringway_sender_t *sender,
                          const void *data,
                          size_t len,
                          uint32_t priority,
                          int64_t timeout_ns);

// Sends the concatenation of `count` parts as one message; as ringway_send.
//
// The caller promises:
// As of ringway_send; `count` parts are there.
int ringway_sendv(struct ringway_sender_t *sender,
                  const struct iovec *parts,
                  size_t count,
                  int64_t timeout_ns);

// Sends `count` messages together, if there is room for all of them now: they become visible at once, with one wake-up. Else none is sent
// (RINGWAY_FULL). Of a ring; each must fit the ring, slabs or not.
//
// The caller promises:
// As of ringway_sendv.
int ringway_send_batch(struct ringway_sender_t *sender,
                       const struct iovec *messages,
                       size_t count);

// Claims room for a message of `len` bytes, waiting for it as ringway_send does, and gives its memory in `*data`: a slab if the ring has slabs and the message is
// longer than the copy limit. It is the caller's to write until ringway_commit or ringway_abort; meanwhile the sender does nothing else
// (RINGWAY_BUSY). The memory is not cleared. Of a ring.
//
// `flags` is 0 or RINGWAY_IN_PLACE. With 0, system calls may write there, too (read, recv, io_uring): what such a call still writes when this process was killed
// lands in nobody else's message. A message in the ring is then written to private memory first.
//
// The caller promises:
// The sender is from this library, and used by this thread alone; `data` may be written.
int ringway_claim(struct ringway_sender_t *sender,
                  size_t len,
                  uint32_t flags,
                  int64_t timeout_ns,
                  void **data);

// Sends the first `len` bytes of what was claimed, or all if that is shorter. The memory is no longer the caller's.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_commit(struct ringway_sender_t *sender,
                   size_t len);

// Gives what was claimed back; nothing is sent.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_abort(struct ringway_sender_t *sender);

// Returns a descriptor as ringway_receiver_descriptor does: it becomes readable after ringway_sender_arm. Of a ring.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_descriptor(struct ringway_sender_t *sender);

// Has the descriptor become readable when there may be room for a message of `len` bytes, or there will be none, and returns 1; or returns 0, as there
// is room now. Of a ring. Fails as ringway_claim does.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_arm(struct ringway_sender_t *sender,
                       size_t len);

// Takes ringway_sender_arm back. Of a ring.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_disarm(struct ringway_sender_t *sender);

// Waits until a receiver is attached: to go on after RINGWAY_PEER_DIED or RINGWAY_CLOSED.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_wait_for_peer(struct ringway_sender_t *sender, int64_t timeout_ns);

// Waits until receivers have released all that was sent; of a ring.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_wait_until_drained(struct ringway_sender_t *sender, int64_t timeout_ns);

// What is known of the receivers: RINGWAY_PEER_ALIVE, ...
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_peer(struct ringway_sender_t *sender);

// A number that tells this attachment from all others of its ring: by it a receiver asks whether it lives. In `*id`.
//
// The caller promises:
// The sender is from this library, and used by this thread alone; `id` may be written.
int ringway_sender_id(struct ringway_sender_t *sender,
                      uint64_t *id);

// Messages that the ring's senders have ever sent; of a queue, that this one has.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int64_t ringway_sender_sent(struct ringway_sender_t *sender);

// Leaves and frees the sender, and ends the stream if it is the last one: receivers get what was sent, then RINGWAY_CLOSED, until another one
// comes. What was claimed is aborted. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
int ringway_sender_close(struct ringway_sender_t *sender);

// Leaves and frees the sender without ending the stream: receivers wait for the next one. Null is let pass.
//
// The caller promises:
// As of ringway_sender_close.
int ringway_sender_leave(struct ringway_sender_t *sender);

// Serves at `address`, where a service is made if nothing is there, and gives the server in `*server`, to be freed by ringway_server_free. `options` may be null.
//
// Fails as ringway_open_or_create does; with RINGWAY_INCOMPATIBLE if what is there is no service, RINGWAY_BUSY if 31 other processes serve there.
//
// The caller promises:
// `address` ends with a zero byte; `options` has the size that it says; `server` may be written.
int ringway_serve(const char *address,
                  const struct ringway_serve_options_t *options,
                  struct ringway_server_t **server);

// Gives in `*another` one more server of this process, for another thread, to be freed by ringway_server_free.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `another` may be written.
int ringway_server_another(struct ringway_server_t *server,
                           struct ringway_server_t **another);

// Leaves and frees the server. A request without an end is let go, and so are answers that were not taken yet (ringway_server_finish waits for that). Null
// is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_server_free(struct ringway_server_t *server);

// As ringway_ring_address.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `buffer` has `size` bytes.
int64_t ringway_server_address(struct ringway_server_t *server, char *buffer, size_t size);

// For how many client handles there is room.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int64_t ringway_server_clients(struct ringway_server_t *server);

// Gets the next request, and tells in `*request` what it is; waits for one for at most `timeout_ns` nanoseconds. It is this server's until its end.
//
// Fails with RINGWAY_EMPTY (with RINGWAY_NOW), RINGWAY_TIMED_OUT, RINGWAY_REMOVED, RINGWAY_INTERRUPTED, RINGWAY_BUSY if the last request has no end yet,
// RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `request` may be written.
int ringway_server_next(struct ringway_server_t *server,
                        struct ringway_request_t *request,
                        int64_t timeout_ns);

// 1 if the caller of the request has left, died, or waits no longer, so that nobody wants the answer; 0 if it waits.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_request_is_cancelled(struct ringway_server_t *server);

// Sends one part of the answer. The caller is at most two parts behind: it waits until that one has what was sent before.
//
// Fails with RINGWAY_CANCELLED, RINGWAY_NOT_TAKEN after the server's patience, RINGWAY_INTERRUPTED (and then the part was not sent), RINGWAY_CORRUPT, RINGWAY_FORKED.
// The request stays this server's.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `data` has `len` bytes.
int ringway_send_part(struct ringway_server_t *server,
                      const void *data,
                      size_t len);

// Ends the answer after the parts that were sent, of which there may be none. It waits for nobody: what the caller has not taken yet, it gets while the server
// gets other requests, or by ringway_server_finish. The request is no longer this server's, also if this fails.
//
// Fails with RINGWAY_CANCELLED, RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_end_answer(struct ringway_server_t *server);

// Sends an answer of one part, or the last part of one, and ends it, as ringway_end_answer does.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `data` has `len` bytes.
int ringway_answer(struct ringway_server_t *server, const void *data, size_t len);

// Ends the request with an error: the caller gets RINGWAY_FAILED, `status`, and of the `len` bytes, most often a text, as many as go in one piece. Otherwise as
// ringway_end_answer.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `data` has `len` bytes.
int ringway_fail(struct ringway_server_t *server,
                 int status,
                 const void *data,
                 size_t len);

// Lets the request go without an answer: its caller is told (RINGWAY_LET_GO), or another server gets it, as the caller wishes.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_let_go(struct ringway_server_t *server);

// Waits until callers have taken what is on its way to them, have left, or died, for at most `patience_ns` nanoseconds: 1 if all is taken, else 0. New
// requests are left to other servers.
//
// Fails with RINGWAY_REMOVED, RINGWAY_INTERRUPTED, RINGWAY_BUSY, RINGWAY_CORRUPT, RINGWAY_FORKED.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_server_finish(struct ringway_server_t *server,
                          int64_t patience_ns);

// As ringway_receiver_descriptor: it becomes readable after ringway_server_arm.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_server_descriptor(struct ringway_server_t *server);

// As ringway_receiver_arm: 1, and the descriptor becomes readable when ringway_server_next is worth calling; 0, and it is now. It may become readable for
// nothing, and has to be heeded also while answers are on their way. It fails as ringway_server_next.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_server_arm(struct ringway_server_t *server);

// Takes ringway_server_arm back.
//
// The caller promises:
// The server is from this library, and used by this thread alone.
int ringway_server_disarm(struct ringway_server_t *server);

// Gives in `*interrupter` what ends calls of this server that wait, to be freed by ringway_interrupter_free.
//
// The caller promises:
// The server is from this library, and used by this thread alone; `interrupter` may be written.
int ringway_server_interrupter(struct ringway_server_t *server, struct ringway_interrupter_t **interrupter);

// Attaches this process as a receiver of a broadcast ring, given in `*receiver`, to be ended by ringway_receiver_leave or ringway_receiver_close.
// `options` and `subscription` may be null. (ringway_ring_receiver is the same without a subscription.)
//
// Fails as ringway_ring_receiver does, with RINGWAY_BUSY also if somebody alive has the name, RINGWAY_NO_SPACE if the ring has all the names that it can have,
// RINGWAY_UNSUPPORTED if it does not allow the policy, or is of another kind.
//
// The caller promises:
// The ring is from this library; both structures have the sizes that they say; the name ends with a zero byte.
int ringway_ring_subscribe(const struct ringway_ring_t *ring,
                           const struct ringway_handle_options_t *options,
                           const struct ringway_subscription_t *subscription,
                           struct ringway_receiver_t **receiver);

// Waits until at least one of `count` receivers has something to receive, or has come to its end; sets `ready[i]` of those for which that is so, and
// clears the others. Returns how many. Where another receiver may be faster, there may be nothing left when it is asked.
//
// Of rings of any kinds together. Fails with RINGWAY_TIMED_OUT, RINGWAY_REMOVED, RINGWAY_UNSUPPORTED, RINGWAY_INVALID.
//
// The caller promises:
// Both have `count` elements; each receiver is from this library, there once, and used by this thread alone.
int64_t ringway_wait_any(struct ringway_receiver_t *const *receivers,
                         size_t count,
                         bool *ready,
                         int64_t timeout_ns);

// Gives in `*interrupter` what ends calls of this sender that wait, to be freed by ringway_interrupter_free; of a ring.
//
// The caller promises:
// The sender is from this library, and used by this thread alone.
int ringway_sender_interrupter(struct ringway_sender_t *sender,
                               struct ringway_interrupter_t **interrupter);

// The same of a receiver.
//
// The caller promises:
// The receiver is from this library, and used by this thread alone.
int ringway_receiver_interrupter(struct ringway_receiver_t *receiver,
                                 struct ringway_interrupter_t **interrupter);

// Ends the call that waits or, if none does, the next one that would. May be called in another thread and in a handler of a signal.
//
// The caller promises:
// The interrupter is from this library.
void ringway_interrupt(const struct ringway_interrupter_t *interrupter);

// Frees an interrupter. Null is let pass.
//
// The caller promises:
// It is from this library, and not used any more.
void ringway_interrupter_free(struct ringway_interrupter_t *interrupter);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RINGWAY_H */
