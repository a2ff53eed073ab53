//! What the kernel tells of a process that takes part.

use super::report::State;

/// The name of its command, and what it does.
pub(super) fn look(pid: Option<u32>) -> (Option<String>, State) {
    let told = pid.and_then(|pid| std::fs::read(format!("/proc/{pid}/stat")).ok());
    let Some((command, state)) = told.as_deref().and_then(decode) else {
        return (None, State::Unknown);
    };
    (Some(command), state)
}

/// `PID (COMMAND) STATE ...`; the command may have any bytes in it.
fn decode(stat: &[u8]) -> Option<(String, State)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let command = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
    let state = match stat.get(close + 2)? {
        b'T' | b't' => State::Stopped,
        // It has not been waited for.
        b'Z' | b'X' => State::Dead,
        _ => State::Running,
    };
    Some((command, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_called_anything() {
        let decoded = |text: &str| decode(text.as_bytes());
        let expected = |command: &str, state| Some((command.to_owned(), state));
        assert_eq!(decoded("7 (cat) S 1"), expected("cat", State::Running));
        assert_eq!(
            decoded("7 (a) R (b) T 1"),
            expected("a) R (b", State::Stopped)
        );
        assert_eq!(decoded("7 (cat) Z 1"), expected("cat", State::Dead));
        for broken in ["", "7", "7 (cat", "7 )(", "7 (cat)", "7 (cat) "] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
