//! Slabs in segments of their own, when their ring is gone.

use super::*;

fn slabs_in(report: &GcReport) -> Vec<(&Fate, usize)> {
    let found = report.found.iter();
    found
        .filter_map(|found| match &found.what {
            Leftover::Slabs { segments } => Some((&found.fate, segments.len())),
            _ => None,
        })
        .collect()
}

/// Not by ringway, which would have removed the slabs too.
fn remove_name(address: &str) {
    match address.strip_prefix("shm:") {
        Some(name) => std::fs::remove_file(format!("/dev/shm/{name}")).unwrap(),
        None => {
            let key = u32::from_str_radix(address.strip_prefix("sysv:0x").unwrap(), 16).unwrap();
            let id = shmget::get(key as libc::key_t, 0, 0).unwrap();
            shmget::remove(id).unwrap();
        }
    }
}

#[test]
fn nothing_is_left_of_slabs_whose_ring_is_gone() {
    private("slabs");
}

pub(super) fn without_rings() {
    // Those of a ring that is there, and what only looks like a slab.
    let builder = || Builder::new("shm:kept").unwrap();
    let kept = builder()
        .slabs(4096, 2)
        .slab_segments(true)
        .create()
        .unwrap();
    let digits = "0".repeat(32);
    for name in [
        format!("a.slab.{digits}.0"),
        format!("kept.slab.{digits}.0"),
    ] {
        std::fs::write(format!("/dev/shm/{name}"), [7; 8192]).unwrap();
    }
    let create = libc::IPC_CREAT | libc::IPC_EXCL;
    for (len, mode) in [(8192, 0o600), (8192, 0o601), (8191, 0o601), (12288, 0o601)] {
        let id = shmget::get(libc::IPC_PRIVATE, len, create | mode).unwrap();
        if mode == 0o601 {
            let at = shmget::attach(id).unwrap().cast::<u8>();
            // SAFETY: the last byte of the segment just attached, in which nobody else has an interest; and
            // the word that would be the magic of a slab's trailer, if this were one.
            unsafe {
                at.add(len - 1).write(1);
                at.add(len - 4096).write(1);
                shmget::detach(at.cast());
            }
        }
    }
    let before = listing();
    for address in addresses("lent") {
        let holders: Vec<_> = (0..2).map(|_| spawn(&format!("lend {address}"))).collect();
        remove_name(&address);
        let in_use = listing();
        let report = Gc::new().run();
        assert_eq!(
            slabs_in(&report),
            [(&Fate::Kept(Why::Open), 3)],
            "{report:?}"
        );
        assert_eq!(listing(), in_use);
        holders.into_iter().for_each(kill);
        let held = listing();
        let dry = Gc::new().dry_run(true).run();
        assert_eq!(slabs_in(&dry), [(&Fate::Removable, 3)], "{dry:?}");
        assert_eq!(listing(), held);
        let wet = Gc::new().run();
        assert_eq!(slabs_in(&wet), [(&Fate::Removed, 3)], "{wet:?}");
        assert_eq!(wet.found[0].bytes, 3 * 8192);
        assert_eq!(listing(), before);
        // A ring that was removed as it should be has taken them along; so has one that is collected.
        kill(spawn(&format!("lend {address}")));
        crate::remove(&address.parse().unwrap(), true).unwrap();
        assert_eq!(listing(), before);
        kill(spawn(&format!("lend {address}")));
        collect_until(&before);
    }
    // One that its creator, who died, had not finished.
    shmget::get(libc::IPC_PRIVATE, 8192, create | 0o601).unwrap();
    let report = Gc::new().run();
    assert_eq!(slabs_in(&report), [(&Fate::Removed, 1)], "{report:?}");
    assert_eq!(listing(), before);
    drop(kept);
}

#[test]
fn slabs_of_files_are_collected_where_they_are_asked_for() {
    private("slabs of a file");
}

pub(super) fn of_a_file() {
    let directory = std::env::temp_dir().join(format!("ringway-test-gc-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let count = || std::fs::read_dir(&directory).unwrap().count();
    let path = directory.join("ring");
    let address = Address::File(path.clone());
    let make = || {
        let builder = Builder::at(address.clone()).slabs(4096, 3);
        builder.slab_segments(true).create().unwrap()
    };
    drop(make());
    std::fs::remove_file(&path).unwrap();
    // The same name again: of the slabs beside it, three are its own.
    drop(make());
    assert_eq!(count(), 7);
    assert_eq!(Gc::new().run().found, []);
    let collector = Gc::new().address(address.clone());
    let report = collector.run();
    assert_eq!(slabs_in(&report), [(&Fate::Removed, 3)], "{report:?}");
    assert_eq!(count(), 4);
    std::fs::remove_file(&path).unwrap();
    let report = collector.run();
    assert_eq!(report.failures, []);
    assert_eq!(slabs_in(&report), [(&Fate::Removed, 3)], "{report:?}");
    assert_eq!(count(), 0);
    assert_eq!(collector.run().failures[0].kind(), ErrorKind::NotFound);
    std::fs::remove_dir(&directory).unwrap();
}
