//! What calls cost in one thread, where no cache line travels: the instructions alone. Between processes
//! the lines cost more than all of this; that is measured by `benches/compare`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringway::{Builder, Receiver, Sender};

const SIZES: [usize; 4] = [8, 64, 256, 4096];
/// Messages in a batch.
const BATCH: usize = 64;

fn ring() -> (Sender, Receiver) {
    // Small enough for the private caches.
    let builder = Builder::new("memfd:").expect("a good address");
    let ring = builder.capacity(1 << 20).create().expect("a new ring");
    let sender = ring.sender().expect("no other producer");
    (sender, ring.receiver().expect("no other consumer"))
}

fn copying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send + recv_into");
    for size in SIZES {
        let (mut sender, mut receiver) = ring();
        let (message, mut buffer) = (vec![7; size], vec![0; size]);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter(|| {
                sender.send(black_box(&message)).expect("room");
                receiver
                    .recv_into(black_box(&mut buffer))
                    .expect("a message")
            })
        });
    }
    group.finish();
}

fn in_place(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim + commit + recv_in_place");
    for size in SIZES {
        let (mut sender, mut receiver) = ring();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{size} B, 8 of them touched"), |bencher| {
            let mut bytes = [0; 8];
            bencher.iter(|| {
                let mut claim = sender.try_claim(size).expect("room");
                claim.write_at(0, black_box(&[7; 8]));
                claim.commit();
                let message = receiver.try_recv_in_place().expect("a message");
                message.read_at(0, black_box(&mut bytes));
                message.release();
            })
        });
    }
    group.finish();
}

fn batched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch + drain");
    for size in SIZES {
        let (mut sender, mut receiver) = ring();
        let (message, mut buffer) = (vec![7; size], vec![0; size]);
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(format!("{BATCH} of {size} B"), |bencher| {
            bencher.iter(|| {
                let mut batch = sender.batch();
                for _ in 0..BATCH {
                    batch.push(black_box(&message)).expect("room");
                }
                batch.commit();
                let drained = receiver.drain(BATCH, |message| {
                    message.read_at(0, black_box(&mut buffer));
                });
                drained.expect("messages")
            })
        });
    }
    group.finish();
}

fn nothing_there(criterion: &mut Criterion) {
    let (_sender, mut receiver) = ring();
    criterion.bench_function("try_recv_into of an empty ring", |bencher| {
        let mut buffer = [0; 64];
        bencher.iter(|| receiver.try_recv_into(black_box(&mut buffer)).is_err())
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    copying(&mut criterion);
    in_place(&mut criterion);
    batched(&mut criterion);
    nothing_there(&mut criterion);
    criterion.final_summary();
}
