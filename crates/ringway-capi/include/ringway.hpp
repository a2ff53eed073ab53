// ringway for C++17 and later: ringway.h, with objects that clean up after themselves and errors that are thrown.
// Header-only; link with what ringway.pc says. SPDX-License-Identifier: MIT OR Apache-2.0
//
//     auto ring = ringway::ring::open_or_create("shm:orders");
//     ring.make_sender().send("buy 100");
//
// Handles can be moved and not copied, and are for one thread at a time. Times are std::chrono::nanoseconds; ringway::forever waits for ever,
// ringway::now tries once.

#ifndef RINGWAY_HPP
#define RINGWAY_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <span>
#endif

#include "ringway.h"

namespace ringway {

/// How long a call waits.
using timeout = std::chrono::nanoseconds;
/// For ever.
inline constexpr timeout forever{-1};
/// Not at all.
inline constexpr timeout now{0};

/// What ringway throws. `code()` is RINGWAY_CLOSED and so on; the text says what to do next.
class error : public std::runtime_error {
  public:
    explicit error(std::int64_t code)
        : std::runtime_error(ringway_last_error()), code_(static_cast<int>(code)), missed_(ringway_last_missed()),
          status_(ringway_last_status()) {
        std::size_t len = 0;
        const void *bytes = ringway_last_failure(&len);
        failure_.assign(static_cast<const char *>(bytes), len);
    }
    int code() const noexcept { return code_; }
    /// Of RINGWAY_LAGGED, how many messages are gone.
    std::uint64_t missed() const noexcept { return missed_; }
    /// Of RINGWAY_FAILED, the status that the server gave, and its text or whatever bytes.
    int status() const noexcept { return status_; }
    const std::string &failure() const noexcept { return failure_; }
    /// Its name: "RINGWAY_CLOSED".
    const char *name() const noexcept { return ringway_error_name(code_); }

  private:
    int code_;
    std::uint64_t missed_;
    int status_;
    std::string failure_;
};

/// What a call has returned, if it has worked.
template <class Result> Result checked(Result result) {
    if (result < 0) {
        throw error(result);
    }
    return result;
}

/// Bytes that somebody else has.
struct bytes {
    const void *data;
    std::size_t size;

    bytes(const void *data, std::size_t size) noexcept : data(data), size(size) {}
    bytes(std::string_view text) noexcept : data(text.data()), size(text.size()) {}
    bytes(const char *text) noexcept : bytes(std::string_view(text)) {}
    bytes(const std::string &text) noexcept : bytes(std::string_view(text)) {}
    template <class T> bytes(const std::vector<T> &values) noexcept : data(values.data()), size(values.size() * sizeof(T)) {
        static_assert(std::is_trivially_copyable_v<T>, "only what is its bytes can be sent as they are");
    }
#if __cplusplus >= 202002L
    template <class T, std::size_t N> bytes(std::span<T, N> values) noexcept : data(values.data()), size(values.size_bytes()) {
        static_assert(std::is_trivially_copyable_v<T>, "only what is its bytes can be sent as they are");
    }
#endif
};

namespace detail {
struct end_ring {
    void operator()(ringway_ring_t *ring) const noexcept { ringway_ring_free(ring); }
};
struct end_sender {
    void operator()(ringway_sender_t *sender) const noexcept { ringway_sender_close(sender); }
};
struct end_receiver {
    void operator()(ringway_receiver_t *receiver) const noexcept { ringway_receiver_leave(receiver); }
};
struct end_message {
    void operator()(ringway_message_t *message) const noexcept { ringway_message_free(message); }
};
struct end_interrupter {
    void operator()(ringway_interrupter_t *interrupter) const noexcept { ringway_interrupter_free(interrupter); }
};
struct end_board {
    void operator()(ringway_board_t *board) const noexcept { ringway_board_free(board); }
};
struct end_writer {
    void operator()(ringway_writer_t *writer) const noexcept { ringway_writer_free(writer); }
};
struct end_reader {
    void operator()(ringway_reader_t *reader) const noexcept { ringway_reader_free(reader); }
};
struct end_watcher {
    void operator()(ringway_watcher_t *watcher) const noexcept { ringway_watcher_free(watcher); }
};
struct end_server {
    void operator()(ringway_server_t *server) const noexcept { ringway_server_free(server); }
};
struct end_client {
    void operator()(ringway_client_t *client) const noexcept { ringway_client_free(client); }
};
} // namespace detail

/// Ends a call of its handle that waits, from another thread or a handler of a signal. Outlives its handle.
class interrupter {
  public:
    explicit interrupter(ringway_interrupter_t *owned) noexcept : handle_(owned) {}
    void interrupt() const noexcept { ringway_interrupt(handle_.get()); }

  private:
    std::unique_ptr<ringway_interrupter_t, detail::end_interrupter> handle_;
};

/// A message that was acknowledged and kept.
class kept_message {
  public:
    explicit kept_message(ringway_message_t *owned) : handle_(owned) { checked(ringway_message_view(owned, &view_)); }
    const std::byte *data() const noexcept { return static_cast<const std::byte *>(view_.data); }
    std::size_t size() const noexcept { return view_.len; }
    std::uint64_t number() const noexcept { return view_.number; }
    std::string_view text() const noexcept { return {static_cast<const char *>(view_.data), view_.len}; }
#if __cplusplus >= 202002L
    std::span<const std::byte> span() const noexcept { return {data(), size()}; }
#endif

  private:
    std::unique_ptr<ringway_message_t, detail::end_message> handle_;
    ringway_view_t view_{};
};

/// A message in place. It is given back when it goes, unless it was released: so also if an exception is on its way. Its receiver must not
/// be moved or go meanwhile.
class message {
  public:
    message(ringway_receiver_t *receiver, const ringway_view_t &view) noexcept : receiver_(receiver), view_(view) {}
    message(message &&other) noexcept : receiver_(std::exchange(other.receiver_, nullptr)), view_(other.view_) {}
    message &operator=(message &&) = delete;
    ~message() {
        if (receiver_ != nullptr) {
            ringway_give_back(receiver_);
        }
    }

    const std::byte *data() const noexcept { return static_cast<const std::byte *>(view_.data); }
    std::size_t size() const noexcept { return view_.len; }
    std::string_view text() const noexcept { return {static_cast<const char *>(view_.data), view_.len}; }
#if __cplusplus >= 202002L
    std::span<const std::byte> span() const noexcept { return {data(), size()}; }
#endif
    /// What tells it from all others of its ring.
    std::uint64_t number() const noexcept { return view_.number; }
    /// How often it was delivered, with this time.
    std::uint32_t deliveries() const noexcept { return view_.deliveries; }

    /// Acknowledges it.
    void release() && { checked(ringway_release(std::exchange(receiver_, nullptr))); }
    /// Acknowledges and keeps it.
    kept_message detach() && {
        ringway_message_t *kept = nullptr;
        checked(ringway_detach(std::exchange(receiver_, nullptr), &kept));
        return kept_message(kept);
    }

  private:
    ringway_receiver_t *receiver_;
    ringway_view_t view_;
};

/// Room for a message. It is aborted when it goes, unless it was committed. Its sender must not be moved or go meanwhile.
class claim {
  public:
    claim(ringway_sender_t *sender, void *data, std::size_t size) noexcept : sender_(sender), data_(data), size_(size) {}
    claim(claim &&other) noexcept : sender_(std::exchange(other.sender_, nullptr)), data_(other.data_), size_(other.size_) {}
    claim &operator=(claim &&) = delete;
    ~claim() {
        if (sender_ != nullptr) {
            ringway_abort(sender_);
        }
    }

    std::byte *data() noexcept { return static_cast<std::byte *>(data_); }
    std::size_t size() const noexcept { return size_; }
#if __cplusplus >= 202002L
    std::span<std::byte> span() noexcept { return {data(), size()}; }
#endif

    /// Sends it, or its first `size` bytes.
    void commit(std::size_t size = SIZE_MAX) && { checked(ringway_commit(std::exchange(sender_, nullptr), size)); }

  private:
    ringway_sender_t *sender_;
    void *data_;
    std::size_t size_;
};

/// The side that messages go in by. It closes when it goes.
class sender {
  public:
    explicit sender(ringway_sender_t *owned) noexcept : handle_(owned) {}
    ringway_sender_t *get() noexcept { return handle_.get(); }

    void send(bytes message, timeout time = forever) { checked(ringway_send(get(), message.data, message.size, time.count())); }
    /// Whether there was room.
    bool try_send(bytes message) { return tried(ringway_send(get(), message.data, message.size, RINGWAY_NOW)); }
    void send(bytes message, std::uint32_t priority, timeout time = forever) {
        checked(ringway_send_priority(get(), message.data, message.size, priority, time.count()));
    }
    /// The concatenation of the parts, as one message.
    void send_parts(const std::vector<bytes> &parts, timeout time = forever) {
        const auto vectors = vectors_of(parts);
        checked(ringway_sendv(get(), vectors.data(), vectors.size(), time.count()));
    }
    /// All together, if there is room for all of them now.
    bool try_send_batch(const std::vector<bytes> &messages) {
        const auto vectors = vectors_of(messages);
        return tried(ringway_send_batch(get(), vectors.data(), vectors.size()));
    }
    claim make_claim(std::size_t size, timeout time = forever, std::uint32_t flags = 0) {
        void *data = nullptr;
        checked(ringway_claim(get(), size, flags, time.count(), &data));
        return claim(get(), data, size);
    }
    void wait_for_peer(timeout time = forever) { checked(ringway_sender_wait_for_peer(get(), time.count())); }
    void wait_until_drained(timeout time = forever) { checked(ringway_sender_wait_until_drained(get(), time.count())); }
    int peer() { return checked(ringway_sender_peer(get())); }
    std::int64_t sent() { return checked(ringway_sender_sent(get())); }
    std::uint64_t id() {
        std::uint64_t id = 0;
        checked(ringway_sender_id(get(), &id));
        return id;
    }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_sender_interrupter(get(), &made));
        return interrupter(made);
    }
    void close() && { checked(ringway_sender_close(handle_.release())); }
    /// Ends nothing: receivers wait for the next one.
    void leave() && { checked(ringway_sender_leave(handle_.release())); }

  private:
    static bool tried(int result) {
        if (result == RINGWAY_FULL) {
            return false;
        }
        checked(result);
        return true;
    }
    static std::vector<iovec> vectors_of(const std::vector<bytes> &parts) {
        std::vector<iovec> vectors;
        vectors.reserve(parts.size());
        for (const auto &part : parts) {
            vectors.push_back(iovec{const_cast<void *>(part.data), part.size});
        }
        return vectors;
    }

    std::unique_ptr<ringway_sender_t, detail::end_sender> handle_;
};

/// The side that messages come out of. It leaves when it goes.
class receiver {
  public:
    explicit receiver(ringway_receiver_t *owned) noexcept : handle_(owned) {}
    ringway_receiver_t *get() noexcept { return handle_.get(); }

    /// The next message, which is acknowledged when it is copied.
    std::string recv(timeout time = forever) {
        auto held = recv_view(time);
        std::string text(held.text());
        std::move(held).release();
        return text;
    }
    /// Nothing, if there is none now.
    std::optional<std::string> try_recv() {
        auto held = try_recv_view();
        if (!held) {
            return std::nullopt;
        }
        std::string text(held->text());
        std::move(*held).release();
        return text;
    }
    std::size_t recv_into(void *buffer, std::size_t size, timeout time = forever) {
        std::size_t len = 0;
        checked(ringway_recv(get(), buffer, size, &len, time.count()));
        return len;
    }
    message recv_view(timeout time = forever) {
        ringway_view_t view{};
        checked(ringway_recv_view(get(), &view, time.count()));
        return message(get(), view);
    }
    std::optional<message> try_recv_view() {
        ringway_view_t view{};
        const int result = ringway_recv_view(get(), &view, RINGWAY_NOW);
        if (result == RINGWAY_EMPTY) {
            return std::nullopt;
        }
        checked(result);
        return std::optional<message>(std::in_place, get(), view);
    }
    /// Shows up to `most` messages that are there now, as std::string_view, and acknowledges them together; returns how many. One at which `each` throws is
    /// not acknowledged, and those before it are.
    template <class Each> std::size_t drain(std::size_t most, Each &&each) {
        struct shown {
            Each &each;
            std::exception_ptr thrown;
        } context{each, nullptr};
        const auto show = [](void *context, const void *data, std::size_t len) -> int {
            auto &shown_to = *static_cast<shown *>(context);
            try {
                shown_to.each(std::string_view(static_cast<const char *>(data), len));
                return 0;
            } catch (...) {
                shown_to.thrown = std::current_exception();
                return 1;
            }
        };
        const auto count = ringway_drain(get(), most, show, &context);
        if (context.thrown) {
            std::rethrow_exception(context.thrown);
        }
        return count == RINGWAY_EMPTY ? 0 : static_cast<std::size_t>(checked(count));
    }
    void wait(timeout time = forever) { checked(ringway_receiver_wait(get(), time.count())); }
    void wait_for_peer(timeout time = forever) { checked(ringway_receiver_wait_for_peer(get(), time.count())); }
    int peer() { return checked(ringway_receiver_peer(get())); }
    bool is_attached(std::uint64_t id) { return checked(ringway_receiver_is_attached(get(), id)) == 1; }
    bool is_drained() { return checked(ringway_receiver_is_drained(get())) == 1; }
    std::int64_t received() { return checked(ringway_receiver_received(get())); }
    std::int64_t lost() { return checked(ringway_receiver_lost(get())); }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_receiver_interrupter(get(), &made));
        return interrupter(made);
    }
    /// Refuses further messages, if it is the last one.
    void close() && { checked(ringway_receiver_close(handle_.release())); }
    void leave() && { checked(ringway_receiver_leave(handle_.release())); }

  private:
    std::unique_ptr<ringway_receiver_t, detail::end_receiver> handle_;
};

/// A ring, or a message queue of the kernel, open.
class ring {
  public:
    explicit ring(ringway_ring_t *owned) noexcept : handle_(owned) {}
    static ring create(const std::string &address, const ringway_options_t &options = RINGWAY_OPTIONS_INIT) {
        return made(ringway_create, address, options);
    }
    static ring open(const std::string &address, const ringway_options_t &options = RINGWAY_OPTIONS_INIT) {
        return made(ringway_open, address, options);
    }
    static ring open_or_create(const std::string &address, const ringway_options_t &options = RINGWAY_OPTIONS_INIT) {
        return made(ringway_open_or_create, address, options);
    }
    /// What another process hands over by `hand_over`.
    static ring take_over(int socket, const ringway_options_t &options = RINGWAY_OPTIONS_INIT) {
        ringway_ring_t *taken = nullptr;
        checked(ringway_take_over(socket, &options, &taken, nullptr));
        return ring(taken);
    }

    ringway_ring_t *get() const noexcept { return handle_.get(); }
    std::string address() const {
        std::string text(static_cast<std::size_t>(checked(ringway_ring_address(get(), nullptr, 0))), '\0');
        checked(ringway_ring_address(get(), text.data(), text.size() + 1));
        return text;
    }
    ringway_ring_info_t info() const {
        ringway_ring_info_t info{};
        info.size = sizeof info;
        checked(ringway_ring_info(get(), &info));
        return info;
    }
    bool is_removed() const { return checked(ringway_ring_is_removed(get())) == 1; }
    void hand_over(int socket) const { checked(ringway_ring_hand_over(get(), socket, nullptr)); }
    sender make_sender(const ringway_handle_options_t &options = RINGWAY_HANDLE_OPTIONS_INIT) const {
        ringway_sender_t *made = nullptr;
        checked(ringway_ring_sender(get(), &options, &made));
        return sender(made);
    }
    receiver make_receiver(const ringway_handle_options_t &options = RINGWAY_HANDLE_OPTIONS_INIT) const {
        ringway_receiver_t *made = nullptr;
        checked(ringway_ring_receiver(get(), &options, &made));
        return receiver(made);
    }
    /// A receiver of a broadcast ring, which takes part as it wishes.
    receiver subscribe(const ringway_subscription_t &subscription,
                       const ringway_handle_options_t &options = RINGWAY_HANDLE_OPTIONS_INIT) const {
        ringway_receiver_t *made = nullptr;
        checked(ringway_ring_subscribe(get(), &options, &subscription, &made));
        return receiver(made);
    }

  private:
    template <class Make> static ring made(Make make, const std::string &address, const ringway_options_t &options) {
        ringway_ring_t *made = nullptr;
        checked(make(address.c_str(), &options, &made));
        return ring(made);
    }

    std::unique_ptr<ringway_ring_t, detail::end_ring> handle_;
};

/// A value that was read from a board, to keep.
struct value {
    std::string bytes;
    /// How many values the entry has had, with this one.
    std::uint64_t number;

    explicit value(const ringway_value_t &read) : bytes(static_cast<const char *>(read.data), read.len), number(read.number) {}
};

/// The writer of one entry of a board. It gives the role up when it goes.
class writer {
  public:
    explicit writer(ringway_writer_t *owned) noexcept : handle_(owned) {}
    ringway_writer_t *get() noexcept { return handle_.get(); }

    /// Publishes a value, and returns its number. It waits for nobody.
    std::uint64_t set(bytes value) { return static_cast<std::uint64_t>(checked(ringway_set(get(), value.data, value.size))); }
    std::uint64_t number() { return static_cast<std::uint64_t>(checked(ringway_writer_number(get()))); }

  private:
    std::unique_ptr<ringway_writer_t, detail::end_writer> handle_;
};

/// Reads one entry of a board.
class reader {
  public:
    explicit reader(ringway_reader_t *owned) noexcept : handle_(owned) {}
    ringway_reader_t *get() noexcept { return handle_.get(); }

    /// The latest value; nothing, if there is none yet.
    std::optional<value> latest() {
        ringway_value_t read{};
        if (checked(ringway_get(get(), &read)) == 0) {
            return std::nullopt;
        }
        return value(read);
    }
    /// The latest value, if it is newer than the last one that this has read.
    std::optional<value> try_newer() {
        ringway_value_t read{};
        const int result = ringway_get_newer(get(), &read, RINGWAY_NOW);
        if (result == RINGWAY_EMPTY) {
            return std::nullopt;
        }
        checked(result);
        return value(read);
    }
    /// Waits for a newer one.
    value newer(timeout time = forever) {
        ringway_value_t read{};
        checked(ringway_get_newer(get(), &read, time.count()));
        return value(read);
    }
    /// What is known of the writer: RINGWAY_PEER_ALIVE and so on.
    int peer() { return checked(ringway_reader_peer(get())); }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_reader_interrupter(get(), &made));
        return interrupter(made);
    }

  private:
    std::unique_ptr<ringway_reader_t, detail::end_reader> handle_;
};

/// Reads whatever changes on a board.
class watcher {
  public:
    explicit watcher(ringway_watcher_t *owned) noexcept : handle_(owned) {}
    ringway_watcher_t *get() noexcept { return handle_.get(); }

    /// A value that this has not read yet, with the key of its entry.
    std::optional<std::pair<std::string, value>> try_next() {
        const char *key = nullptr;
        ringway_value_t read{};
        const int result = ringway_watch(get(), &key, &read, RINGWAY_NOW);
        if (result == RINGWAY_EMPTY) {
            return std::nullopt;
        }
        checked(result);
        return std::make_pair(std::string(key), value(read));
    }
    /// Waits for one.
    std::pair<std::string, value> next(timeout time = forever) {
        const char *key = nullptr;
        ringway_value_t read{};
        checked(ringway_watch(get(), &key, &read, time.count()));
        return {key, value(read)};
    }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_watcher_interrupter(get(), &made));
        return interrupter(made);
    }

  private:
    std::unique_ptr<ringway_watcher_t, detail::end_watcher> handle_;
};

/// A board, open: entries with names, and of each the latest value.
class board {
  public:
    explicit board(ringway_board_t *owned) noexcept : handle_(owned) {}
    static board create(const std::string &address, const ringway_board_options_t &options = RINGWAY_BOARD_OPTIONS_INIT) {
        return made(ringway_board_create, address, options);
    }
    static board open(const std::string &address, const ringway_board_options_t &options = RINGWAY_BOARD_OPTIONS_INIT) {
        return made(ringway_board_open, address, options);
    }
    static board open_or_create(const std::string &address, const ringway_board_options_t &options = RINGWAY_BOARD_OPTIONS_INIT) {
        return made(ringway_board_open_or_create, address, options);
    }
    /// What another process hands over by `hand_over`.
    static board take_over(int socket, const ringway_board_options_t &options = RINGWAY_BOARD_OPTIONS_INIT) {
        ringway_board_t *taken = nullptr;
        checked(ringway_board_take_over(socket, &options, &taken, nullptr));
        return board(taken);
    }

    ringway_board_t *get() const noexcept { return handle_.get(); }
    std::string address() const {
        std::string text(static_cast<std::size_t>(checked(ringway_board_address(get(), nullptr, 0))), '\0');
        checked(ringway_board_address(get(), text.data(), text.size() + 1));
        return text;
    }
    ringway_board_info_t info() const {
        ringway_board_info_t info{};
        info.size = sizeof info;
        checked(ringway_board_info(get(), &info));
        return info;
    }
    std::vector<std::string> keys() const {
        std::vector<std::string> keys;
        const auto add = [](void *keys, const char *key) { static_cast<std::vector<std::string> *>(keys)->emplace_back(key); };
        checked(ringway_board_keys(get(), add, &keys));
        return keys;
    }
    bool is_removed() const { return checked(ringway_board_is_removed(get())) == 1; }
    void hand_over(int socket) const { checked(ringway_board_hand_over(get(), socket, nullptr)); }
    writer make_writer(const std::string &key) const {
        ringway_writer_t *made = nullptr;
        checked(ringway_board_writer(get(), key.c_str(), &made));
        return writer(made);
    }
    reader make_reader(const std::string &key, const ringway_handle_options_t &options = RINGWAY_HANDLE_OPTIONS_INIT) const {
        ringway_reader_t *made = nullptr;
        checked(ringway_board_reader(get(), &options, key.c_str(), &made));
        return reader(made);
    }
    watcher watch(const ringway_handle_options_t &options = RINGWAY_HANDLE_OPTIONS_INIT) const {
        ringway_watcher_t *made = nullptr;
        checked(ringway_board_watch(get(), &options, &made));
        return watcher(made);
    }

  private:
    template <class Make> static board made(Make make, const std::string &address, const ringway_board_options_t &options) {
        ringway_board_t *made = nullptr;
        checked(make(address.c_str(), &options, &made));
        return board(made);
    }

    std::unique_ptr<ringway_board_t, detail::end_board> handle_;
};

/// A request of one caller. If it goes without an answer, the caller is told, or another server gets it, as the caller wishes. Its server must outlive it, and
/// stay where it is.
class request {
  public:
    request(ringway_server_t *server, const ringway_request_t &told) noexcept : server_(server), told_(told) {}
    request(request &&other) noexcept : server_(std::exchange(other.server_, nullptr)), told_(other.told_) {}
    request &operator=(request &&) = delete;
    ~request() {
        if (server_ != nullptr) {
            ringway_let_go(server_);
        }
    }

    std::string_view text() const noexcept { return {static_cast<const char *>(told_.data), told_.len}; }
    /// For how long its caller waits yet; `forever`.
    timeout left() const noexcept { return timeout(told_.left_ns); }
    /// Whether another server may have begun with it before.
    bool is_repeated() const noexcept { return told_.is_repeated; }
    /// Whether nobody wants the answer.
    bool is_cancelled() const { return checked(ringway_request_is_cancelled(server_)) == 1; }
    /// Sends one part of the answer, and waits until the caller has what was sent before.
    void send(bytes part) { checked(ringway_send_part(server_, part.data, part.size)); }
    /// Ends the answer after the parts that were sent.
    void end() && { checked(ringway_end_answer(std::exchange(server_, nullptr))); }
    /// Sends an answer of one part, or the last part of one.
    void answer(bytes answer) && { checked(ringway_answer(std::exchange(server_, nullptr), answer.data, answer.size)); }
    /// Has the caller get RINGWAY_FAILED, with this.
    void fail(bytes message, int status = 1) && {
        checked(ringway_fail(std::exchange(server_, nullptr), status, message.data, message.size));
    }

  private:
    ringway_server_t *server_;
    ringway_request_t told_;
};

/// Serves the calls of a service, one at a time.
class server {
  public:
    explicit server(ringway_server_t *owned) noexcept : handle_(owned) {}
    static server start(const std::string &address, const ringway_serve_options_t &options = RINGWAY_SERVE_OPTIONS_INIT) {
        ringway_server_t *made = nullptr;
        checked(ringway_serve(address.c_str(), &options, &made));
        return server(made);
    }
    /// One more, for another thread.
    server another() {
        ringway_server_t *made = nullptr;
        checked(ringway_server_another(get(), &made));
        return server(made);
    }

    ringway_server_t *get() noexcept { return handle_.get(); }
    std::string address() {
        std::string text(static_cast<std::size_t>(checked(ringway_server_address(get(), nullptr, 0))), '\0');
        checked(ringway_server_address(get(), text.data(), text.size() + 1));
        return text;
    }
    /// Waits for the next request.
    request next(timeout time = forever) {
        ringway_request_t told{};
        checked(ringway_server_next(get(), &told, time.count()));
        return request(get(), told);
    }
    /// The next request, if one is there.
    std::optional<request> try_next() {
        ringway_request_t told{};
        const int result = ringway_server_next(get(), &told, RINGWAY_NOW);
        if (result == RINGWAY_EMPTY) {
            return std::nullopt;
        }
        checked(result);
        return request(get(), told);
    }
    /// Waits until callers have what is on its way to them. Says whether they have it all.
    bool finish(timeout patience) { return checked(ringway_server_finish(get(), patience.count())) == 1; }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_server_interrupter(get(), &made));
        return interrupter(made);
    }

  private:
    std::unique_ptr<ringway_server_t, detail::end_server> handle_;
};

/// The answer to one call, part by part. It is cancelled if it goes before its end. Its client must outlive it, and stay where it is.
class answers {
  public:
    explicit answers(ringway_client_t *client) noexcept : client_(client) {}
    answers(answers &&other) noexcept : client_(std::exchange(other.client_, nullptr)) {}
    answers &operator=(answers &&) = delete;
    ~answers() {
        if (client_ != nullptr) {
            ringway_call_cancel(client_);
        }
    }
    /// Waits for the next part; nothing, at the end.
    std::optional<std::string> next() {
        ringway_answer_t part{};
        if (client_ == nullptr) {
            return std::nullopt;
        }
        const int result = ringway_next_part(client_, &part, RINGWAY_FOREVER);
        if (result != 1 && result != RINGWAY_INTERRUPTED) {
            client_ = nullptr;
        }
        if (checked(result) == 0) {
            return std::nullopt;
        }
        return std::string(static_cast<const char *>(part.data), part.len);
    }

  private:
    ringway_client_t *client_;
};

/// Calls a service, one call at a time.
class client {
  public:
    explicit client(ringway_client_t *owned) noexcept : handle_(owned) {}
    static client connect(const std::string &address, const ringway_connect_options_t &options = RINGWAY_CONNECT_OPTIONS_INIT) {
        ringway_client_t *made = nullptr;
        checked(ringway_connect(address.c_str(), &options, &made));
        return client(made);
    }
    /// One more, for another thread.
    client another() {
        ringway_client_t *made = nullptr;
        checked(ringway_client_another(get(), &made));
        return client(made);
    }

    ringway_client_t *get() noexcept { return handle_.get(); }
    std::string address() {
        std::string text(static_cast<std::size_t>(checked(ringway_client_address(get(), nullptr, 0))), '\0');
        checked(ringway_client_address(get(), text.data(), text.size() + 1));
        return text;
    }
    /// How many servers are there now.
    std::size_t servers() { return static_cast<std::size_t>(checked(ringway_client_servers(get()))); }
    /// Sends a request, and waits for its whole answer.
    std::string call(bytes request, timeout time = forever) {
        ringway_answer_t answer{};
        checked(ringway_call(get(), request.data, request.size, &answer, time.count()));
        return std::string(static_cast<const char *>(answer.data), answer.len);
    }
    /// Sends a request whose answer is taken part by part, and is over when `time` is.
    answers stream(bytes request, timeout time = forever) {
        checked(ringway_call_begin(get(), request.data, request.size, time.count()));
        return answers(get());
    }
    interrupter make_interrupter() {
        ringway_interrupter_t *made = nullptr;
        checked(ringway_client_interrupter(get(), &made));
        return interrupter(made);
    }

  private:
    std::unique_ptr<ringway_client_t, detail::end_client> handle_;
};

/// Removes what is at the address; refused while a live process is attached, unless `force`.
inline void remove(const std::string &address, bool force = false) { checked(ringway_remove(address.c_str(), force)); }

/// Looks at what is at the address.
inline ringway_stat_t stat(const std::string &address) {
    ringway_stat_t stat{};
    stat.size = sizeof stat;
    checked(ringway_stat(address.c_str(), &stat, nullptr, nullptr));
    return stat;
}

/// The addresses of all rings, boards and queues on this machine that can be listed, and that this user may read.
inline std::vector<std::string> list() {
    std::vector<std::string> all;
    const auto add = [](void *all, const char *address) { static_cast<std::vector<std::string> *>(all)->emplace_back(address); };
    checked(ringway_list(add, &all));
    return all;
}

/// What dead processes left.
struct found {
    std::string what;
    /// RINGWAY_GC_REMOVED, ...
    std::int32_t fate;
    /// Why it stays, if it does.
    std::string why;
};

/// Collects what dead processes left, or, unless `options.remove` is RINGWAY_YES, only tells.
inline std::vector<found> gc(const ringway_gc_options_t &options = RINGWAY_GC_OPTIONS_INIT) {
    std::vector<found> all;
    const auto add = [](void *all, const char *what, std::int32_t fate, const char *why) {
        static_cast<std::vector<found> *>(all)->push_back({what, fate, why});
    };
    checked(ringway_gc(&options, add, &all));
    return all;
}

} // namespace ringway

#endif
