// ringway.hpp: a server and its clients; what goes out of scope is ended, what fails is thrown.
#include <cassert>
#include <functional>
#include <iostream>
#include <thread>

#include "ringway.hpp"

namespace {

ringway::error error_of(const std::function<void()> &fail) {
    try {
        fail();
    } catch (const ringway::error &error) {
        assert(*error.what() != '\0' && *error.name() != '\0');
        return error;
    }
    assert(false);
    return ringway::error(0);
}

void work(ringway::server server) {
    for (;;) {
        ringway::request request = server.next();
        const std::string what(request.text());
        if (what == "fail") {
            std::move(request).fail("on purpose", 7);
        } else if (what == "let go") {
            continue; // It goes out of scope.
        } else if (what == "cancel") {
            while (!request.is_cancelled()) {
                std::this_thread::yield();
            }
            assert(error_of([&] { request.send("x"); }).code() == RINGWAY_CANCELLED);
        } else if (what == "parts") {
            try {
                request.send("one");
                request.send(std::string(10000, '2'));
                std::move(request).end();
            } catch (const ringway::error &error) {
                assert(error.code() == RINGWAY_CANCELLED);
            }
        } else {
            std::move(request).answer(what);
            if (what == "quit") {
                assert(server.finish(std::chrono::seconds(60)));
                return;
            }
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    assert(argc == 2);
    const std::string address = argv[1];
    ringway_serve_options_t options = RINGWAY_SERVE_OPTIONS_INIT;
    options.clients = 10;
    auto server = ringway::server::start(address, options);
    assert(server.address() == address && !server.try_next());
    assert(error_of([&] { server.next(std::chrono::milliseconds(1)); }).code() == RINGWAY_TIMED_OUT);
    server.make_interrupter().interrupt();
    assert(error_of([&] { server.next(); }).code() == RINGWAY_INTERRUPTED);
    auto client = ringway::client::connect(address);
    assert(client.address() == address && client.servers() == 1);
    client.make_interrupter().interrupt();
    assert(error_of([&] { client.call("x"); }).code() == RINGWAY_INTERRUPTED);

    std::thread working(work, server.another());
    assert(client.call("hello") == "hello" && client.call(std::string(50000, 'x')).size() == 50000);
    const auto failed = error_of([&] { client.call("fail"); });
    assert(failed.code() == RINGWAY_FAILED && failed.status() == 7 && failed.failure() == "on purpose");
    assert(error_of([&] { client.call("let go"); }).code() == RINGWAY_LET_GO);
    assert(error_of([&] { client.call("cancel", std::chrono::milliseconds(1)); }).code() == RINGWAY_TIMED_OUT);
    for (int round = 0; round < 2; round++) {
        auto answers = client.stream("parts");
        assert(answers.next() == "one");
        if (round == 1) {
            assert(answers.next() == std::string(10000, '2'));
            assert(!answers.next() && !answers.next());
        }
        // Or it is cancelled.
    }
    assert(client.another().call("quit") == "quit");
    working.join();
    ringway::remove(address, true);
    std::cout << "done\n";
}
