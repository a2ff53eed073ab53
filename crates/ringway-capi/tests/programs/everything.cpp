// ringway.hpp: what goes out of scope is ended, what fails is thrown.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <functional>
#include <iostream>
#include <thread>

#include "ringway.hpp"

namespace {

int code_of(const std::function<void()> &fail) {
    try {
        fail();
    } catch (const ringway::error &error) {
        assert(*error.what() != '\0' && *error.name() != '\0');
        return error.code();
    }
    return 0;
}

void broadcasts() {
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    options.kind = RINGWAY_BROADCAST;
    options.capacity = 4096;
    const auto ring = ringway::ring::create("memfd:", options);
    auto sender = ring.make_sender();
    for (int number = 0; number < 1000; number++) {
        sender.send(std::vector<int>{number});
    }
    ringway_subscription_t wish = RINGWAY_SUBSCRIPTION_INIT;
    wish.start = RINGWAY_NUMBER;
    wish.policy = RINGWAY_LOSSY;
    auto receiver = ring.subscribe(wish);
    int number = 0;
    try {
        receiver.recv();
        assert(false);
    } catch (const ringway::error &error) {
        assert(error.code() == RINGWAY_LAGGED);
        receiver.recv_into(&number, sizeof number);
        assert(error.missed() == static_cast<std::uint64_t>(number) && number > 0);
    }
}

void boards(const std::string &address) {
    const char *keys[] = {"speed", "level"};
    ringway_board_options_t options = RINGWAY_BOARD_OPTIONS_INIT;
    options.keys = keys;
    options.key_count = 2;
    const auto board = ringway::board::create(address, options);
    assert(board.address() == address && board.info().entries == 2 && board.info().is_new && !board.is_removed());
    assert((board.keys() == std::vector<std::string>{"speed", "level"}));
    auto reader = ringway::board::open(address).make_reader("speed");
    auto watcher = board.watch();
    assert(!reader.latest() && !reader.try_newer() && !watcher.try_next() && reader.peer() == RINGWAY_PEER_ABSENT);
    {
        auto writer = board.make_writer("speed");
        assert(writer.set("50") == 1 && writer.number() == 1);
        assert(code_of([&] { board.make_writer("speed"); }) == RINGWAY_BUSY);
        std::thread other([moved = std::move(writer)]() mutable { moved.set("60"); });
        auto last = reader.newer();
        while (last.number < 2) {
            last = reader.newer();
        }
        assert(last.bytes == "60");
        other.join();
    }
    assert(reader.latest()->bytes == "60" && board.make_writer("speed").number() == 2);
    assert(code_of([&] { reader.newer(std::chrono::milliseconds(1)); }) == RINGWAY_TIMED_OUT);
    const auto changed = watcher.next();
    assert(changed.first == "speed" && changed.second.bytes == "60" && changed.second.number == 2);
    const auto interrupter = watcher.make_interrupter();
    interrupter.interrupt();
    assert(code_of([&] { watcher.next(); }) == RINGWAY_INTERRUPTED);
    reader.make_interrupter().interrupt();
    assert(code_of([&] { reader.newer(); }) == RINGWAY_INTERRUPTED);
    const auto all = ringway::list();
    assert(std::find(all.begin(), all.end(), address) != all.end());
    ringway_gc_options_t what = RINGWAY_GC_OPTIONS_INIT;
    what.address = address.c_str();
    for (const auto &one : ringway::gc(what)) {
        assert(one.fate == RINGWAY_GC_KEPT && !one.why.empty());
    }
    ringway::remove(address, true);
}

} // namespace

int main(int argc, char **argv) {
    assert(argc == 2);
    const std::string address = argv[1];
    ringway_slabs_t slabs{1 << 20, 4};
    ringway_options_t options = RINGWAY_OPTIONS_INIT;
    options.slabs = &slabs;
    options.slab_lengths = 1;
    options.kind = RINGWAY_MPMC;
    auto ring = ringway::ring::create(address, options);
    assert(ring.address() == address && ring.info().kind == RINGWAY_MPMC && !ring.is_removed());
    auto sender = ring.make_sender();
    auto receiver = ring.make_receiver();

    sender.send("hello");
    assert(sender.try_send(std::vector<int>{1, 2, 3}));
    sender.send_parts({"one ", std::string("and two")});
    assert(receiver.recv() == "hello");
    int numbers[3];
    assert(receiver.recv_into(numbers, sizeof numbers) == 12 && numbers[2] == 3);
    assert(receiver.try_recv() == "one and two" && !receiver.try_recv());
    assert(!receiver.try_recv_view() && receiver.drain(5, [](std::string_view) {}) == 0);

    // A block that is left by an exception sends nothing, and gives back.
    try {
        auto claim = sender.make_claim(5);
        throw 1;
    } catch (int) {
    }
    {
        auto claim = sender.make_claim(1 << 20);
        std::memset(claim.data(), 7, claim.size());
        std::move(claim).commit();
    }
    try {
        auto message = receiver.recv_view(std::chrono::seconds(10));
        assert(message.size() == 1 << 20 && message.deliveries() == 1);
        throw 1;
    } catch (int) {
    }
    {
        auto again = receiver.recv_view();
        assert(again.deliveries() == 2 && std::to_integer<int>(again.data()[100]) == 7);
        const auto kept = std::move(again).detach();
        assert(kept.size() == 1 << 20 && std::to_integer<int>(kept.data()[100]) == 7);
        // The receiver goes on meanwhile.
        sender.send("next");
        assert(receiver.recv() == "next");
    }

    assert(sender.try_send_batch({"a", "b", "c"}));
    std::string seen;
    assert(receiver.drain(2, [&](std::string_view text) { seen += text; }) == 2 && seen == "ab");
    try {
        receiver.drain(2, [](std::string_view) { throw 1; });
        assert(false);
    } catch (int) {
    }
    assert(receiver.recv() == "c");

    assert(code_of([&] { receiver.recv(std::chrono::milliseconds(1)); }) == RINGWAY_TIMED_OUT);
    assert(code_of([&] { ringway::ring::open("shm:ringway-not-there"); }) == RINGWAY_NOT_FOUND);
    assert(code_of([&] { ringway::remove(address); }) == RINGWAY_BUSY);
    const auto interrupter = receiver.make_interrupter();
    std::thread other([&] { interrupter.interrupt(); });
    assert(code_of([&] { receiver.recv(); }) == RINGWAY_INTERRUPTED);
    other.join();
    assert(ringway::stat(address).senders == 1 && receiver.is_attached(sender.id()));
#if __cplusplus >= 202002L
    const int values[] = {1, 2};
    sender.send(std::span(values));
    assert(receiver.recv_view().span().size() == 8);
    assert(receiver.recv().size() == 8);
#endif

    auto moved = std::move(sender);
    std::move(moved).leave();
    assert(!receiver.try_recv());
    { auto last = ring.make_sender(); }
    assert(code_of([&] { receiver.recv(); }) == RINGWAY_CLOSED);
    std::move(receiver).close();
    ringway::remove(address);
    assert(ring.is_removed());
    broadcasts();
    boards(address);
    std::cout << "done\n";
}
