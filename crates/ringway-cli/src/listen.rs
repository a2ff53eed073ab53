//! What the library tells by `tracing`, as lines on standard error: for `--verbose` and `RUST_LOG`. They decide nothing
//! ([`say`](crate::say)): where they cannot be written they are lost, and the work goes on.

use std::ffi::OsStr;
use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use crate::say::{self, say};

/// What is told is asked for in it, as many programs have it.
const VARIABLE: &str = "RUST_LOG";

/// Has events written, as the option says how many times it stands there, or else the environment. Before anything is opened.
pub(crate) fn listen(verbose: u8) {
    let wished = match verbose {
        0 => asked_for(std::env::var_os(VARIABLE).as_deref()),
        1 => Some(of_ringway(LevelFilter::INFO)),
        2 => Some(of_ringway(LevelFilter::DEBUG)),
        _ => Some(of_ringway(LevelFilter::TRACE)),
    };
    let Some(targets) = wished else { return };
    let lines = fmt::layer().with_ansi(false).with_writer(|| Lines);
    // Nobody has set another one.
    let _ = set_global_default(tracing_subscriber::registry().with(targets).with(lines));
}

fn of_ringway(level: LevelFilter) -> Targets {
    Targets::new().with_target("ringway", level)
}

/// What the environment asks for. It may be meant for another program: what is not understood is said, and no error.
fn asked_for(words: Option<&OsStr>) -> Option<Targets> {
    let words = words.filter(|words| !words.is_empty())?;
    let Some(words) = words.to_str() else {
        say(format_args!("{VARIABLE} is not UTF-8, and has no effect"));
        return None;
    };
    match words.parse() {
        Ok(targets) => Some(targets),
        Err(error) => {
            say(format_args!(
                "{VARIABLE} is not understood, and has no effect: {error}"
            ));
            None
        }
    }
}

/// Standard error, which takes everything.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say::write(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_environment_says_what_is_told() {
        let told = |words: &str, target: &str, level: Level| {
            asked_for(Some(OsStr::new(words))).is_some_and(|it| it.would_enable(target, &level))
        };
        assert!(told("info", "ringway::peer", Level::INFO));
        assert!(!told("info", "ringway::peer", Level::DEBUG));
        assert!(told("ringway::peer=debug", "ringway::peer", Level::DEBUG));
        assert!(!told(
            "ringway::peer=debug",
            "ringway::segment",
            Level::WARN
        ));
        assert!(!told("ringway=off", "ringway::segment", Level::ERROR));
        for nothing in ["", "ringway=loud"] {
            assert!(asked_for(Some(OsStr::new(nothing))).is_none());
        }
        assert!(asked_for(None).is_none());
    }
}
