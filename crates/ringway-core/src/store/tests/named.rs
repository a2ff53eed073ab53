//! Files that get their names when they are finished.

use super::*;
use crate::store::backing::named::create_from;
use crate::store::place::Place;
use crate::store::unnamed::Draft;

#[test]
fn where_files_need_names_a_temporary_one_is_used_and_goes() {
    for fixture in [Fixture::shm(), Fixture::file()] {
        let request = fixture.request();
        let attempt = Attempt {
            action: "create",
            address: request.address,
        };
        let place = Place::of(attempt).unwrap();
        let temporaries = || {
            let prefix = format!(".{}.ringway-", place.name().to_str().unwrap());
            let entries = std::fs::read_dir(place.directory()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with(&prefix))
                .count()
        };
        let draft = Draft::temporary(attempt, &place).unwrap();
        let other = Draft::temporary(attempt, &place).unwrap();
        assert_eq!(temporaries(), 2);
        let made = create_from(&request, &plan(), &place, &draft).unwrap();
        assert_eq!(Segment::open(&request).unwrap().header, made.header);
        let error = create_from(&request, &plan(), &place, &other);
        assert_fails(error, ErrorKind::AlreadyExists);
        drop((draft, other));
        assert_eq!(temporaries(), 0);
        assert_eq!(Segment::open(&request).unwrap().header, made.header);
    }
}

#[test]
fn who_opens_a_ring_waits_for_a_collector_that_looks_whether_it_is_open() {
    use crate::sys::lease::Lease;
    for fixture in [Fixture::shm(), Fixture::file()] {
        let request = fixture.request();
        drop(Segment::create(&request, &plan()).unwrap());
        let path = fixture.path();
        let file = std::fs::File::options().read(true).write(true).open(path);
        let lease = Lease::take(file.unwrap()).unwrap().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // It ends when somebody waits for it.
                while lease.lasts() {
                    std::thread::yield_now();
                }
                drop(lease);
            });
            Segment::open(&request).unwrap();
        });
    }
}

#[test]
fn the_longest_name_leaves_room_for_a_temporary_one() {
    let name = format!("{:x<255}", format!("ringway-test-{}-", std::process::id()));
    let fixture = Fixture::at(Address::Shm(name));
    let request = fixture.request();
    let attempt = Attempt {
        action: "create",
        address: request.address,
    };
    let place = Place::of(attempt).unwrap();
    let draft = Draft::temporary(attempt, &place).unwrap();
    create_from(&request, &plan(), &place, &draft).unwrap();
    assert!(fixture.exists());
}
