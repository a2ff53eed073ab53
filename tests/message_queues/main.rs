//! Message queues, between processes: what holds for both systems is tried on both.

mod collecting;
mod creation;
mod deaths;
mod ends;
mod hostile;
mod limits;
mod order;
mod place;
mod polled;
mod traffic;

#[path = "../two_processes/mod.rs"]
mod two_processes;

use two_processes::play;

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => traffic::send(first),
        "send signed" => traffic::send_signed(first),
        "send for ever" => deaths::send_for_ever(first),
        "attach to send" => deaths::attach_to_send(first),
        "attach to receive" => deaths::attach_to_receive(first),
        "receive for ever" => deaths::receive_for_ever(first),
        "visit" => collecting::visit(first),
        "look" => order::look(first),
        "make without priorities" => order::make(first),
        "make under a umask" => order::make_under_a_umask(first),
        "create" => creation::create(first),
        "run out" => limits::run_out(first),
        "few bytes" => creation::few_bytes(first),
        _ => panic!("{role}"),
    });
}
