//! Message queues on the command line, and `auto:`.

mod common;

use common::{
    Place, QUEUES, Running, assert_says, assert_status, command, eventually, json, lines, run,
    run_with, text,
};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

#[test]
fn lines_of_several_senders_arrive_in_order() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        assert_status(&run(["create", address]), 0);
        // Attached from before the first to after the last, so that the receiver does not end between them.
        let mut first = Running::open(["send", address], b"");
        eventually("the first sender", || place.stat()["senders"] == 1);
        let recv = Running::start(["recv", address, "--unlink"]);
        let senders = [(0, 1000), (1000, 2000), (2000, 3000)]
            .map(|(from, to)| Running::feed(["send", address], &lines(from, to)));
        for send in senders {
            assert_status(&send.finish(), 0);
        }
        first.close();
        assert_status(&first.finish(), 0);
        let output = recv.finish();
        assert_status(&output, 0);
        let received = text(&output.stdout);
        let mut numbers: Vec<u64> = received
            .lines()
            .map(|line| line.strip_prefix("line ").unwrap().parse().unwrap())
            .collect();
        for of_one in [0..1000, 1000..2000, 2000..3000] {
            let ours = numbers.iter().filter(|number| of_one.contains(*number));
            assert!(ours.is_sorted(), "{scheme}");
        }
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..3000), "{scheme}");
        assert!(!place.exists());
    }
}

#[test]
fn queues_are_listed_shown_and_removed() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        let created = run(["create", address]);
        assert_eq!(text(&created.stdout).trim_end(), address);
        assert_status(&run(["create", address]), 2);
        // Without a receiver a POSIX queue keeps what fits.
        assert_status(&run_with(["send", address], b"one\ntwo\n"), 0);
        assert!(place.stat()["messages"].as_u64().unwrap() >= 2);
        let listed = json(&run(["ls", "--json"]));
        let is_ours = |one: &Value| one["address"] == address && one["kind"] == "queue";
        assert!(listed.as_array().unwrap().iter().any(is_ours), "{listed}");
        assert_says(&run(["stat", address]).stdout, &["queue"]);
        assert_status(&run(["rm", address]), 0);
        assert_status(&run(["rm", address]), 1);
        assert_status(&run(["stat", address]), 1);
    }
}

#[test]
fn what_only_rings_can_is_refused_for_queues() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        assert_status(&run(["create", address]), 0);
        for args in [
            &["send", address, "--unlink"][..],
            &["send", address, "--kind", "mpmc"],
            &["recv", address, "--sync", "futex"],
            &["recv", address, "--producers", "2"],
        ] {
            let output = run(args.iter().copied());
            assert_status(&output, 2);
            assert_says(&output.stderr, &["queue"]);
        }
    }
}

#[test]
fn no_queue_is_made_that_is_not_what_was_asked_for() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        for options in [
            &["--kind", "mpmc"][..],
            &["--sync", "futex"],
            &["--overwrite"],
            &["--slabs", "1Mx8"],
        ] {
            for command in [&["create", address][..], &["recv", address, "--create"]] {
                let output = run(command.iter().chain(options).copied());
                assert_status(&output, 2);
                let said = text(&output.stderr);
                assert!(
                    said.contains("queue") && said.contains(options[0]),
                    "{said}"
                );
                assert!(!place.exists());
            }
        }
    }
}

#[test]
fn a_queue_that_is_removed_under_its_receiver_has_not_come_to_its_end() {
    let place = Place::new("sysvmq");
    let address = place.address.as_str();
    assert_status(&run(["create", address]), 0);
    let recv = Running::start(["recv", address]);
    eventually("the receiver", || place.stat()["receivers"] == 1);
    assert_status(&run(["rm", address]), 2);
    assert_status(&run(["rm", "--force", address]), 0);
    let output = recv.finish();
    assert_status(&output, 1);
    let said = text(&output.stderr);
    assert!(said.contains("was removed"), "{said}");
}

#[test]
fn a_demo_and_a_bench_run_over_queues() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let demo = json(&run([
            "demo",
            "--address",
            &place.address,
            "--messages",
            "1000",
            "--json",
        ]));
        assert_eq!(
            (&demo["verified"], &demo["kind"]),
            (&Value::Bool(true), &"queue".into())
        );
        assert_eq!(demo["transports"][0]["name"], "queue");
        let bench = [
            "bench",
            "--address",
            &place.address,
            "--rounds",
            "1",
            "--burst",
            "1ms",
            "--size",
            "64",
            "--wait-strategy",
            "park",
            "--json",
        ];
        let bench = run(bench);
        assert_status(&bench, 0);
        assert!(!place.exists());
    }
}

#[test]
fn auto_is_shared_memory_and_says_so() {
    let place = Place::new("auto");
    let address = place.address.as_str();
    let name = address.strip_prefix("auto:").unwrap();
    let created = run(["create", address]);
    assert_eq!(text(&created.stdout).trim_end(), format!("shm:{name}"));
    assert_says(&created.stderr, &["shared memory"]);
    let send = run_with(["send", address], b"hello\n");
    assert_status(&send, 0);
    assert_says(&send.stderr, &[&format!("shm:{name}")]);
    let recv = run(["recv", address, "--quiet", "--unlink"]);
    assert_eq!(
        (text(&recv.stdout), text(&recv.stderr)),
        ("hello\n".into(), String::new())
    );
    assert_status(&run(["recv", address]), 1);
}

/// Without `/dev/shm`, in a mount namespace of its own.
fn without_shared_memory<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Running {
    use std::os::unix::process::CommandExt;
    let mut command = command(args);
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| Ok(hide_shared_memory()?));
    }
    Running::feed_command(command, input)
}

fn hide_shared_memory() -> Result<(), nix::Error> {
    use nix::mount::{MsFlags, mount};
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NOTHING,
    )?;
    let flags = MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), flags, NOTHING)
}

/// What a user may not do who is not root, where `/dev/mqueue` is not mounted: list POSIX queues.
fn hide_queues() -> Result<(), nix::Error> {
    use nix::libc;
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    const NOTHING: Option<&str> = None;
    const CAP_SYS_ADMIN: libc::c_ulong = 21;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, flags, NOTHING)?;
    // It need not be mounted.
    let _ = umount2("/dev/mqueue", MntFlags::MNT_DETACH);
    // SAFETY: a number each, of this process.
    let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) };
    nix::errno::Errno::result(dropped).map(drop)
}

#[test]
fn ls_says_that_it_cannot_see_queues() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: /dev/mqueue cannot be hidden here");
        return;
    }
    let mut command = command(["ls"]);
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| Ok(hide_queues()?));
    }
    let output = Running::feed_command(command, b"").finish();
    assert_status(&output, 0);
    let said = text(&output.stderr);
    assert!(said.contains("message queues cannot be listed"), "{said}");
}

#[test]
fn auto_falls_back_to_a_queue_and_says_why() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: /dev/shm cannot be hidden here");
        return;
    }
    let place = Place::new("auto");
    let address = place.address.as_str();
    let name = address.strip_prefix("auto:").unwrap();
    let input: Vec<u8> = lines(0, 100_000);
    // What a queue has not is refused, and nothing is made.
    for wish in [["--slabs", "1Mx8"], ["--kind", "spsc"]] {
        let send = ["send", address, "--create", "--whole"];
        let send = without_shared_memory(send.into_iter().chain(wish), &input).finish();
        assert_status(&send, 2);
        assert_says(
            &send.stderr,
            &["a queue has not what was asked for", "/dev/shm"],
        );
    }
    let send = without_shared_memory(["send", address, "--create", "--whole"], &input);
    let recv = without_shared_memory(["recv", address, "--create", "--whole", "--unlink"], b"");
    let (recv, send) = (recv.finish(), send.finish());
    assert_status(&send, 0);
    assert_status(&recv, 0);
    assert!(recv.stdout == input);
    let said = [send.stderr, recv.stderr].concat();
    assert_says(&said, &[&format!("mq:/{name}"), "/dev/shm"]);
}

#[test]
fn those_that_start_at_once_choose_alike() {
    for _ in 0..20 {
        let place = Place::new("auto");
        let address = place.address.as_str();
        let send = Running::feed(["send", address, "--create", "--quiet"], b"hello\n");
        let recv = run(["recv", address, "--create", "--unlink", "--quiet"]);
        assert_status(&recv, 0);
        assert_eq!(text(&recv.stdout), "hello\n");
        assert_status(&send.finish(), 0);
    }
}
