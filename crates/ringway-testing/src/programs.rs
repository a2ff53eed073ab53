//! Programs of this workspace that a test starts, and which are not of the test's own package.

use std::path::PathBuf;
use std::process::Command;

/// Has cargo build what `selection` says (`--examples`, or `--bin` and a name), as this test was built, and returns the
/// folder of programs.
///
/// # Panics
/// If it cannot be built.
pub fn built(selection: &[&str]) -> PathBuf {
    // target/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--locked", "--quiet"]);
    cargo.args(selection);
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    // The one of the package that is being tested is another.
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{cargo:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.to_owned()
}
