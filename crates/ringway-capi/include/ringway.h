/* Made of the sources of ringway-capi by `cargo xtask c-header`. SPDX-License-Identifier: MIT OR Apache-2.0 */

#ifndef RINGWAY_H
#define RINGWAY_H



#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/uio.h>

#define RINGWAY_OPTIONS_INIT {sizeof(ringway_options_t), 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define RINGWAY_HANDLE_OPTIONS_INIT {sizeof(ringway_handle_options_t), 0, 0}
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

// One sender, many receivers, of which each gets every message; the slowest keeps the sender waiting. (kind)
#define RINGWAY_BROADCAST 5

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

// -EIO: the kernel refused for another reason.
#define RINGWAY_SYSTEM -5

// -EFAULT: a fault of ringway's own. The handle must only be freed.
#define RINGWAY_PANICKED -14

// The message is written by this program's own instructions and by no system call. Then also one that lies in the ring is written where it lies.
// (ringway_claim)
#define RINGWAY_IN_PLACE 1

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

// What ends a call of a handle that waits, with RINGWAY_INTERRUPTED. It outlives its handle, and then does nothing. Threads may share it.
typedef struct ringway_interrupter_t ringway_interrupter_t;

// A message that was acknowledged and kept. It outlives its receiver; other threads may free it.
typedef struct ringway_message_t ringway_message_t;

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

// Who is at the other end of a socket.
typedef struct ringway_peer_t {
  // Process id; 0 if it has none here.
  int32_t pid;
  // Effective user id.
  uint32_t uid;
  // Effective group id.
  uint32_t gid;
} ringway_peer_t;

// How a handle works. All zero but the size is the default: RINGWAY_HANDLE_OPTIONS_INIT.
typedef struct ringway_handle_options_t {
  // sizeof(ringway_handle_options_t)
  size_t size;
  // For how long calls that wait spin before they sleep, in nanoseconds. 0: 50 microseconds. RINGWAY_SPIN, RINGWAY_PARK.
  int64_t spin_ns;
  // Of a sender: from how many bytes on a message goes in a slab, if there are slabs; 0 is 64 KiB.
  size_t copy_limit;
} ringway_handle_options_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

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
