// The same in C++:  hello send shm:orders  and  hello recv shm:orders
#include <iostream>
#include <string>

#include "ringway.hpp"

int main(int argc, char **argv) try {
    if (argc != 3) {
        std::cerr << "usage: hello send|recv ADDRESS\n";
        return 2;
    }
    auto ring = ringway::ring::open_or_create(argv[2]);
    if (std::string(argv[1]) == "send") {
        auto sender = ring.make_sender();
        for (int i = 0; i < 3; i++) {
            sender.send("buy " + std::to_string(i));
        }
        return 0;
    }
    auto receiver = ring.make_receiver();
    for (;;) {
        try {
            auto order = receiver.recv_view();
            std::cout << order.text() << '\n';
            std::move(order).release();
        } catch (const ringway::error &error) {
            if (error.code() == RINGWAY_CLOSED) {
                return 0;
            }
            throw;
        }
    }
} catch (const ringway::error &error) {
    std::cerr << error.name() << ": " << error.what() << '\n';
    return 1;
}
