//! Futures, streams and sinks under tokio (many threads, and one), smol, and an executor made by hand.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ringway::peer::Role;
use ringway::{Receiver, RecvError, Sender};
use ringway_async::{AsyncReceiver, AsyncSender};
use ringway_testing::table::{Row, for_each};

/// Sleeps by its thread's token.
struct ByHand(Thread, AtomicBool);

impl Wake for ByHand {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

fn by_hand<T>(future: impl Future<Output = T>) -> T {
    let own = Arc::new(ByHand(thread::current(), AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&own));
    let mut future = pin!(future);
    loop {
        // It is polled only when it was woken.
        while !own.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
    }
}

const MESSAGES: usize = 300;

/// What each executor has to do: one sends, by a sink; one receives, by a stream, and is now and then cancelled.
async fn give(sender: Sender) {
    let mut sink = sender.into_sink();
    for number in 0..MESSAGES {
        sink.send(number.to_le_bytes()).await.unwrap();
    }
    // And leaves, with which the stream ends.
}

async fn take(mut receiver: Receiver) {
    let mut number = 0;
    while number < MESSAGES / 2 {
        // Dropped after one poll, every other time.
        if number % 2 == 0 {
            let mut dropped = pin!(receiver.recv_async());
            let polled = futures_util::poll!(dropped.as_mut());
            if let Poll::Ready(message) = polled {
                assert_eq!(message.unwrap(), number.to_le_bytes());
                number += 1;
            }
        }
        let mut buffer = [0; 8];
        receiver.recv_into_async(&mut buffer).await.unwrap();
        assert_eq!(usize::from_le_bytes(buffer), number);
        number += 1;
    }
    let mut messages = receiver.into_messages();
    while let Some(message) = messages.next().await {
        assert_eq!(message.unwrap(), number.to_le_bytes());
        number += 1;
    }
    assert_eq!(number, MESSAGES);
}

fn pair(row: Row) -> (Sender, Receiver, impl Sized) {
    let (ring, place) = row.ring();
    (
        ring.sender().unwrap(),
        ring.receiver().unwrap(),
        (ring, place),
    )
}

#[test]
fn tokio_with_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    for row in Row::on_shm() {
        let (sender, receiver, _place) = pair(row);
        runtime.block_on(async {
            let tasks = [tokio::spawn(give(sender)), tokio::spawn(take(receiver))];
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

#[test]
fn tokio_with_one_thread() {
    for_each(Row::on_shm(), |row| {
        let (sender, receiver, _place) = pair(row);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            tokio::join!(give(sender), take(receiver));
        });
    });
}

#[test]
fn smol() {
    for_each(Row::on_shm(), |row| {
        let (sender, receiver, _place) = pair(row);
        let task = ::smol::spawn(give(sender));
        ::smol::block_on(take(receiver));
        ::smol::block_on(task);
    });
}

#[test]
fn an_executor_made_by_hand() {
    for_each(Row::on_shm(), |row| {
        let (sender, receiver, _place) = pair(row);
        thread::scope(|scope| {
            scope.spawn(|| by_hand(give(sender)));
            by_hand(take(receiver));
        });
    });
}

/// Hundreds of tasks of one runtime, of which most wait.
#[test]
fn many_tasks() {
    const TASKS: usize = 200;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let pairs: Vec<_> = (0..TASKS)
        .map(|_| pair(Row::named("spsc/futex/Memfd").unwrap()))
        .collect();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        // Each passes on to the next what comes to it.
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        let mut places = Vec::new();
        for (sender, receiver, place) in pairs {
            senders.push(sender);
            receivers.push(receiver);
            places.push(place);
        }
        let mut first = senders.remove(0);
        let mut last = receivers.pop().unwrap();
        for (mut receiver, mut sender) in receivers.into_iter().zip(senders) {
            tasks.push(tokio::spawn(async move {
                while let Ok(message) = receiver.recv_async().await {
                    sender.send_async(&message).await.unwrap();
                }
            }));
        }
        for number in 0..20_u32 {
            first.send_async(&number.to_le_bytes()).await.unwrap();
            assert_eq!(last.recv_async().await.unwrap(), number.to_le_bytes());
        }
        drop(first);
        assert_eq!(last.recv_async().await, Err(RecvError::Closed));
        for task in tasks {
            task.await.unwrap();
        }
        drop(places);
    });
}

/// What a time-out cancels is not lost.
#[test]
fn a_time_out_loses_no_message() {
    let many = Row::with_many(Role::Producer, Row::on_shm());
    for_each(many, |row| {
        let (sender, mut receiver, _place) = pair(row);
        let other = thread::spawn(move || {
            let mut sender = sender;
            for number in 0..200_usize {
                sender.send(&number.to_le_bytes()).unwrap();
                thread::sleep(Duration::from_micros(number as u64 % 7 * 100));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut number = 0;
            while number < 200_usize {
                let moment = Duration::from_micros(300);
                if let Ok(message) = tokio::time::timeout(moment, receiver.recv_async()).await {
                    assert_eq!(message.unwrap(), number.to_le_bytes(), "{row}");
                    number += 1;
                }
            }
        });
        other.join().unwrap();
    });
}

/// A runtime ends while a receive is pending, in a task that nobody waits for.
#[test]
fn a_runtime_ends_while_a_receive_is_pending() {
    for_each(Row::on_shm(), |row| {
        let (_sender, mut receiver, _place) = pair(row);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            tell.send(()).unwrap();
            let _ = receiver.recv_async().await;
        });
        told.recv().unwrap();
        // It would hang here if a thread of the runtime were blocked.
        drop(runtime);
    });
}

/// A sink that finds no room keeps one message, and sends it when there is room.
#[test]
fn a_sink_waits_for_room() {
    for_each(Row::on_shm(), |row| {
        let (sender, mut receiver, _place) = pair(row);
        let other = thread::spawn(move || {
            for number in 0..100_u8 {
                thread::sleep(Duration::from_micros(50));
                assert_eq!(receiver.recv().unwrap(), [number; 500]);
            }
            receiver
        });
        by_hand(async {
            let mut sink = sender.into_sink();
            for number in 0..100 {
                sink.feed([number; 500]).await.unwrap();
            }
            SinkExt::<[u8; 500]>::close(&mut sink).await.unwrap();
            let (mut sender, kept) = sink.into_inner();
            assert_eq!(kept, None, "{row}");
            sender.wait_until_drained_async().await.unwrap();
        });
        drop(other.join().unwrap());
    });
}

#[test]
fn futures_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let (mut sender, mut receiver, _place) = pair(Row::named("spsc/futex/Memfd").unwrap());
    is_send(&receiver.recv_async());
    is_send(&receiver.process_async(|_| Ok::<(), ()>(())));
    is_send(&sender.send_async(b""));
    is_send(&receiver.messages());
    is_send(&sender.sink());
}
