//! What set-up costs: to make a ring, and to open one that exists and attach to it, in a process that
//! has attached to a ring before.

use criterion::Criterion;
use ringway::{Address, Builder, Receiver, Ring};

/// Rings of 64 KiB, whose pages are cheap, and of the default 4 MiB, whose pages are all mapped.
const CAPACITIES: [u64; 2] = [64 << 10, 4 << 20];

/// A ring with a name, removed with this value.
struct Named {
    address: Address,
    _ring: Ring,
}

impl Named {
    fn new(capacity: u64) -> Self {
        let name = format!("ringway-bench-open-{}-{capacity}", std::process::id());
        let address = Address::Shm(name);
        let builder = Builder::at(address.clone()).capacity(capacity);
        Self {
            _ring: builder.create().expect("a new ring"),
            address,
        }
    }

    fn attach(&self, prefault: bool) -> Receiver {
        let builder = Builder::at(self.address.clone()).prefault(prefault);
        let ring = builder.open().expect("it is there");
        ring.receiver().expect("no other consumer")
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // It is there unless somebody else removed it.
        let _ = ringway::remove(&self.address, true);
    }
}

fn attaching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open + attach + leave");
    for capacity in CAPACITIES {
        let named = Named::new(capacity);
        for prefault in [true, false] {
            let pages = if prefault { "prefaulted" } else { "as touched" };
            group.bench_function(format!("{} KiB, {pages}", capacity >> 10), |bencher| {
                bencher.iter(|| named.attach(prefault))
            });
        }
    }
    group.finish();
}

fn making(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create + drop, memfd");
    for capacity in CAPACITIES {
        group.bench_function(format!("{} KiB", capacity >> 10), |bencher| {
            let builder = Builder::at(Address::Memfd).capacity(capacity);
            bencher.iter(|| builder.clone().create().expect("a new ring"))
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    attaching(&mut criterion);
    making(&mut criterion);
    criterion.final_summary();
}
