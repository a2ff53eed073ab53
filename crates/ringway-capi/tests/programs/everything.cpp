// ringway.hpp: what goes out of scope is ended, what fails is thrown.
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
    std::cout << "done\n";
}
