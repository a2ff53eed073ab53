// Boost.Interprocess's message_queue behind C functions, for src/contestants/boost.rs.
//
// No exception leaves: what cannot fail between two live processes ends the process if it does.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>

namespace bi = boost::interprocess;

namespace {

bi::message_queue &queue(void *handle) { return *static_cast<bi::message_queue *>(handle); }

} // namespace

extern "C" {

void *boost_queue_create(const char *name, std::size_t messages, std::size_t len) noexcept {
    return new bi::message_queue(bi::create_only, name, messages, len);
}

void *boost_queue_open(const char *name) noexcept {
    return new bi::message_queue(bi::open_only, name);
}

bool boost_queue_remove(const char *name) noexcept { return bi::message_queue::remove(name); }

bool boost_queue_try_send(void *handle, const void *message, std::size_t len) noexcept {
    return queue(handle).try_send(message, len, 0);
}

void boost_queue_send(void *handle, const void *message, std::size_t len) noexcept {
    queue(handle).send(message, len, 0);
}

// The length received, or 0 if there is no message.
std::size_t boost_queue_try_receive(void *handle, void *buffer, std::size_t len) noexcept {
    bi::message_queue::size_type received = 0;
    unsigned int priority = 0;
    return queue(handle).try_receive(buffer, len, received, priority) ? received : 0;
}

std::size_t boost_queue_receive(void *handle, void *buffer, std::size_t len) noexcept {
    bi::message_queue::size_type received = 0;
    unsigned int priority = 0;
    queue(handle).receive(buffer, len, received, priority);
    return received;
}
}
