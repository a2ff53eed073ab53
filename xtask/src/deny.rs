//! What the programs are made of, judged by cargo-deny and `deny.toml`.

use crate::process;

/// Another version may have its words in another order.
const TOOL: &str = "0.20.2";

/// The workspace, and the packages with lock files of their own.
const MANIFESTS: [&str; 5] = [
    "Cargo.toml",
    "fuzz/Cargo.toml",
    "benches/compare/Cargo.toml",
    "crates/ringway-python/Cargo.toml",
    "crates/ringway-gateway/Cargo.toml",
];

/// `deny`
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(word) = arguments.first() {
        return Err(format!("deny takes no arguments, and was given {word}"));
    }
    process::ensure_version(&["cargo", "deny", "--version"], "cargo-deny", TOOL)?;
    MANIFESTS
        .iter()
        .try_for_each(|manifest| check(manifest, &[], &["bans", "licenses", "sources"]))?;
    // Advisories are on the network, in a repository of their own.
    if process::run(process::command(&["cargo", "deny", "fetch", "db"])).is_err() {
        println!("the database of advisories cannot be had: they are NOT checked");
        return Ok(());
    }
    MANIFESTS
        .iter()
        .try_for_each(|manifest| check(manifest, &["--offline"], &["advisories"]))
}

fn check(manifest: &str, how: &[&str], what: &[&str]) -> Result<(), String> {
    let mut deny = process::command(&["cargo", "deny", "--config", "deny.toml", "--locked"]);
    deny.args(how).args(["--manifest-path", manifest]);
    deny.args(["check", "--hide-inclusion-graph"]).args(what);
    process::run(deny)
}
