//! Imports that are planted, and found.

use std::path::Path;

use super::{check, read};

/// What is found in a crate of these files.
fn found(order: &str, files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write(
        "ARCHITECTURE.md",
        &format!("Words.\n\n```layers\n{order}\n```\n"),
    );
    for (name, text) in files {
        write(name, text);
    }
    check(folder.path()).expect("a check")
}

const ORDER: &str = "src: api -> store | rings -> error, address -> sys";
const ROOT: (&str, &str) = (
    "src/lib.rs",
    "mod address; mod api; mod error; mod rings; mod store; mod sys;\npub use api::Ring;\npub mod os { pub use crate::sys::call; }\n",
);

/// What is found if `sys/mod.rs` is `text`, and the others import downwards.
fn planted(text: &str) -> Vec<String> {
    found(
        ORDER,
        &[
            ROOT,
            (
                "src/address.rs",
                "use crate::error::Error;\nuse crate::sys::call;\n",
            ),
            ("src/error.rs", "use crate::address::Address;\n"),
            (
                "src/api/mod.rs",
                "mod builder;\npub use crate::rings::Ring;\n",
            ),
            (
                "src/api/builder.rs",
                "use super::super::store;\nuse super::Ring;\n",
            ),
            ("src/rings/mod.rs", "use crate::{error::Error, sys};\n"),
            ("src/store.rs", "fn f() { crate::sys::call() }\n"),
            ("src/sys/mod.rs", text),
            ("src/sys/futex.rs", "use crate::api::Ring;\n"),
        ],
    )
}

#[test]
fn imports_downwards_and_within_a_room_are_fine() {
    assert_eq!(planted("use self::x::y; use std::fmt;\n"), [""; 0]);
    assert_eq!(
        planted("macro_rules! m { ($a:expr) => { $crate::os::call($a) }; }\n"),
        [""; 0]
    );
}

#[test]
fn each_way_to_import_upwards_is_found_with_its_line() {
    for upward in [
        "use crate::store::Segment;",
        "use crate::{\nstore};",
        "use crate::store as other;",
        "use super::store::*;",
        "fn f() -> crate::store::Segment { }",
        "fn f() { let x = super::store::Segment::new(); }",
        "fn f() { assert!(g(1, crate::store::LIMIT)); }",
        "macro_rules! m { () => { $crate::store::LIMIT }; }",
        "mod inner { use super::super::store::Segment; }",
        "impl A { fn f() { use crate::store; } }",
        "#[cfg(not(test))] use crate::store;",
        "#[cfg(any(test, feature = \"more\"))] use crate::store;",
    ] {
        let lines = upward.matches('\n').count();
        assert_eq!(
            planted(&format!("//! Words about [`crate::api`].\n\n{upward}\n")),
            [format!(
                "src/sys/mod.rs:{}: store stands above sys, which uses it",
                3 + lines
            )],
            "{upward}"
        );
    }
}

#[test]
fn modules_in_files_of_their_own_are_followed() {
    assert_eq!(
        planted("mod futex;\n"),
        ["src/sys/futex.rs:1: api stands above sys, which uses it"]
    );
}

#[test]
fn tests_may_use_everything() {
    for upward in [
        "#[cfg(test)] mod futex;",
        "#[cfg(all(test, loom))] use crate::api::Ring;",
        "#[cfg(test)] mod tests { use crate::api::Ring; }",
        "impl A { #[cfg(test)] fn f() { crate::api::f() } }",
    ] {
        assert_eq!(planted(upward), [""; 0], "{upward}");
    }
}

#[test]
fn neighbours_strangers_and_the_root_are_found() {
    let beside = |text| {
        found(
            ORDER,
            &[
                ("src/lib.rs", "mod rings; mod extra;"),
                ("src/rings.rs", text),
                ("src/extra.rs", ""),
            ],
        )
    };
    assert_eq!(
        beside("use crate::store::Segment;"),
        ["src/rings.rs:1: store stands beside rings, which uses it"]
    );
    assert_eq!(
        beside("use crate::extra;"),
        ["src/rings.rs:1: extra has no place in the order, and rings uses it"]
    );
    assert_eq!(
        beside("use crate::Ring;"),
        ["src/rings.rs:1: Ring has no place in the order, and rings uses it"]
    );
}

#[test]
fn rooms_have_orders_of_their_own() {
    let inside = |text| {
        found(
            "a/src/store: removal -> place -> header",
            &[
                (
                    "a/src/store/mod.rs",
                    "mod place; mod removal; mod header; pub use removal::remove; use crate::api;",
                ),
                ("a/src/store/header.rs", "use crate::sys::removal;"),
                (
                    "a/src/store/removal.rs",
                    "use super::place::Place;\nuse crate::store::header;",
                ),
                ("a/src/store/place/mod.rs", "mod names;"),
                ("a/src/store/place/names.rs", text),
            ],
        )
    };
    assert_eq!(
        inside("use super::super::header; use super::Place; use crate::removal;"),
        [""; 0]
    );
    let upwards = ["a/src/store/place/names.rs:1: removal stands above place, which uses it"];
    assert_eq!(inside("use super::super::removal;"), upwards);
    assert_eq!(inside("use crate::store::{header, removal};"), upwards);
    assert_eq!(
        inside("use crate::store::remove;"),
        ["a/src/store/place/names.rs:1: remove has no place in the order, and place uses it"]
    );
}

#[test]
fn packages_depend_downwards() {
    let with = |dependency: &str| {
        found(
            "packages: ringway -> ringway-mq | ringway-chunk -> ringway-core",
            &[
                (
                    "Cargo.toml",
                    "[package]\nname = \"ringway\"\n[dependencies]\nringway-core.workspace = true\n",
                ),
                (
                    "crates/a/Cargo.toml",
                    &format!(
                        "[package]\nname = \"ringway-mq\"\n\n[dependencies]\nlibc = \"0.2\"\n{dependency}\n"
                    ),
                ),
            ],
        )
    };
    assert_eq!(with("ringway-core.workspace = true"), [""; 0]);
    assert_eq!(
        with("[dev-dependencies]\nringway.workspace = true"),
        [""; 0]
    );
    assert_eq!(
        with("ringway.workspace = true"),
        ["crates/a/Cargo.toml:6: ringway stands above ringway-mq, which uses it"]
    );
    assert_eq!(
        with("ringway-chunk = { path = \"../chunk\" }"),
        ["crates/a/Cargo.toml:6: ringway-chunk stands beside ringway-mq, which uses it"]
    );
}

#[test]
fn the_order_names_what_is_there() {
    let root = crate::process::root();
    let document = read(&Path::new(&root).join("ARCHITECTURE.md")).expect("the document");
    let orders = super::Order::all(&document).expect("an order");
    let places: Vec<&str> = orders.iter().map(|order| order.place.as_str()).collect();
    assert!(places.contains(&"crates/ringway-core/src"), "{places:?}");
    assert!(places.contains(&"packages"), "{places:?}");
}
