// Shows every message of a broadcast ring, and goes on under its name when it is started again:  subscriber ADDRESS NAME
#include <iostream>

#include "ringway.hpp"

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: subscriber ADDRESS NAME\n";
        return 2;
    }
    ringway_subscription_t wish = RINGWAY_SUBSCRIPTION_INIT;
    wish.name = argv[2];
    auto receiver = ringway::ring::open(argv[1]).subscribe(wish);
    std::cout << "ready" << std::endl;
    for (;;) {
        try {
            auto message = receiver.recv_view();
            std::cout << message.text() << std::endl;
            std::move(message).release();
        } catch (const ringway::error &error) {
            switch (error.code()) {
            case RINGWAY_LAGGED:
                std::cout << "missed " << error.missed() << std::endl;
                break;
            case RINGWAY_PEER_DIED:
                // The next one goes on.
                receiver.wait_for_peer();
                break;
            case RINGWAY_CLOSED:
                std::cout << "end" << std::endl;
                return 0;
            default:
                throw;
            }
        }
    }
}
