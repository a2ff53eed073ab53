//! Tests that use names which others on this machine may use, too.

use std::path::Path;
use std::process::{Command, Stdio};

/// The variable that tells a process that it is apart.
const APART: &str = "RINGWAY_TEST_APART";

/// Runs `body` in a process with `/dev/shm`, System V objects, message queues and pids of its own: this test, `name`, once
/// more. Whatever it leaves goes with that process, and so does whom it started. Says so, and does nothing, where that is not
/// permitted.
///
/// # Panics
/// If the body does.
pub fn apart(name: &str, body: impl FnOnce()) {
    if std::env::var_os(APART).is_some() {
        return body();
    }
    let start = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--ipc", "--pid", "--mount-proc", "--fork"]);
        // Whoever ends this test ends all of it.
        command.args(["--kill-child", "sh", "-c"]);
        command.args(["mount -t tmpfs none /dev/shm && exec \"$@\"", "sh"]);
        command.arg(program).args(arguments).env(APART, "1");
        command
    };
    let mut attempt = start(Path::new("true"), &[]);
    attempt.stdout(Stdio::null()).stderr(Stdio::null());
    if !attempt.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: namespaces are not permitted here");
        return;
    }
    let test = std::env::current_exe().unwrap();
    let status = start(&test, &["--exact", name, "--nocapture"]).status();
    assert!(status.unwrap().success(), "see above");
}
