//! More than there is.

use super::process::run;
use super::*;

#[test]
fn a_capacity_beyond_the_machine_is_refused_with_numbers() {
    let plan = plan_of(1 << 45);
    let memfd = Fixture::at(Address::Memfd);
    for fixture in named().into_iter().chain([memfd]) {
        let error = Segment::create(&fixture.request(), &plan);
        let error = assert_fails(error, ErrorKind::InvalidCapacity);
        let text = error.to_string();
        assert!(
            text.contains("needs 32.0 TiB") && text.contains("in all"),
            "{text}"
        );
        assert_fails(
            Segment::open(&fixture.request()),
            match fixture.address {
                Address::Memfd => ErrorKind::Unsupported,
                _ => ErrorKind::NotFound,
            },
        );
    }
}

#[test]
fn huge_pages_are_there_or_an_error_says_what_to_do() {
    let memfd = Fixture::at(Address::Memfd);
    let sysv = Fixture::sysv();
    for fixture in [&memfd, &sysv] {
        let request = Request {
            huge_pages: true,
            ..fixture.request()
        };
        match Segment::create(&request, &plan()) {
            Ok(segment) => {
                assert_eq!(segment.map.len() as u64, plan().geometry.total_len());
                data_word(&segment).store(1, Ordering::Relaxed);
            }
            Err(error) => {
                let error = assert_fails::<()>(Err(error), ErrorKind::NoSpace);
                assert!(error.to_string().contains("vm.nr_hugepages="), "{error}");
            }
        }
    }
    for fixture in [Fixture::shm(), Fixture::file()] {
        let request = Request {
            huge_pages: true,
            ..fixture.request()
        };
        let error = assert_fails(Segment::create(&request, &plan()), ErrorKind::Unsupported);
        assert!(error.to_string().contains("hugetlbfs"), "{error}");
        assert!(!fixture.exists());
    }
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    for fixture in [Fixture::shm(), Fixture::file(), Fixture::at(Address::Memfd)] {
        run("small files only", &fixture.address);
    }
}

#[test]
fn without_descriptors_nothing_is_left_behind() {
    for fixture in [Fixture::shm(), Fixture::file()] {
        run("no descriptors", &fixture.address);
        assert!(!fixture.exists());
    }
}

#[test]
fn a_full_dev_shm_says_how_much_is_left() {
    run("a small /dev/shm", &Fixture::shm().address);
}

#[test]
fn without_proc_a_temporary_name_is_used() {
    run("no /proc", &Fixture::shm().address);
}

#[test]
fn the_limits_of_system_v_are_explained() {
    run("few System V segments", &Fixture::sysv().address);
}
