//! Sizes, durations and modes as they are written on a command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Bytes: `4096`, `64K`, `64KiB`, `1M`. Every unit is a power of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| format!("{error}; write a number of bytes such as 4096, 64K or 16MiB"))
}

/// A length of time: `100ms`, `5s`, `1m 30s`. A number without a unit is seconds: `5`, `0.5`.
///
/// `M` is a month to humantime, mega to others, and whoever types `1M` may mean a minute.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write a time such as 5 (seconds), 0.5, 100ms or 2min";
    let is_number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    if is_number(text)
        && let Ok(seconds) = text.parse()
    {
        return Duration::try_from_secs_f64(seconds).map_err(|error| format!("{error}; {FORM}"));
    }
    let mut units = text.split(|letter: char| !letter.is_alphabetic());
    if units.any(|unit| unit == "M") {
        return Err(
            "M is a minute to some and a month to others, or a million: write 1m or 1min for a minute, 30days for a month"
                .to_owned(),
        );
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; {FORM}"))
}

/// When so long from now is. A time beyond the clock's range never comes.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// How long one of so many a second takes: `1000`, `0.5`.
pub(crate) fn rate(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write how many a second, such as 1000 or 0.5";
    let rate: f64 = text.parse().map_err(|error| format!("{error}; {FORM}"))?;
    match Duration::try_from_secs_f64(rate.recip()) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        Ok(_) => Err(format!("that is more than a clock can tell; {FORM}")),
        Err(_) => Err(format!("that never comes to an end; {FORM}")),
    }
}

/// A byte: one letter, or an escape such as `\t`, `\0` or `\x1e`.
pub(crate) fn byte(text: &OsStr) -> Result<u8, String> {
    let hexadecimal = |digits: &[u8]| {
        let digits = str::from_utf8(digits).ok()?;
        // Else a sign would be taken for a digit.
        let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u8::from_str_radix(digits, 16).ok().filter(|_| is_plain)
    };
    match text.as_bytes() {
        [byte] => Some(*byte),
        b"\\0" => Some(0),
        b"\\t" => Some(b'\t'),
        b"\\n" => Some(b'\n'),
        b"\\r" => Some(b'\r'),
        b"\\\\" => Some(b'\\'),
        [b'\\', b'x', digits @ ..] if digits.len() == 2 => hexadecimal(digits),
        _ => None,
    }
    .ok_or_else(|| {
        "write one byte: a letter such as , or ; or an escape, \\t, \\0 or \\x1e".to_owned()
    })
}

/// Permission bits in octal: `600`, `0640`, `0o660`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 && !digits.starts_with('+') => Ok(mode),
        _ => Err("write permission bits in octal, such as 600 or 0660".to_owned()),
    }
}

/// So many of `what`, in words.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Bytes for people: the largest unit of 1024 that leaves no long fraction.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 {
        format!("{value} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64K", 65536),
            ("64KiB", 65536),
            ("1M", 1 << 20),
            ("16MiB", 16 << 20),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert!(size("many").is_err());
    }

    #[test]
    fn a_time_without_a_unit_is_seconds_and_no_minute_is_a_month() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("0.5", 500),
            ("0", 0),
            ("100ms", 100),
            ("1m", 60_000),
            ("1m 30s", 90_000),
            ("2min", 120_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for wrong in [
            "",
            ".",
            "soon",
            "-1",
            "1M",
            "2 M",
            "1h 1M",
            "1e99",
            "1..2",
            "99999999999999999999999",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration("1M").unwrap_err().contains("1min"));
    }

    #[test]
    fn rates_are_times_between_two() {
        assert_eq!(rate("1000"), Ok(Duration::from_millis(1)));
        assert_eq!(rate("0.5"), Ok(Duration::from_secs(2)));
        for wrong in ["0", "-1", "inf", "NaN", "many", "1e12", "1e-300"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delimiter_is_one_byte() {
        for (text, expected) in [
            (&b","[..], b','),
            (b"\\t", b'\t'),
            (b"\\0", 0),
            (b"\\n", b'\n'),
            (b"\\\\", b'\\'),
            (b"\\x1e", 0x1e),
            (b"\xff", 0xff),
            (b"\\", b'\\'),
        ] {
            assert_eq!(byte(OsStr::from_bytes(text)), Ok(expected), "{text:?}");
        }
        for wrong in ["", "ab", "\\q", "\\x1", "\\x+1", "\u{e9}"] {
            assert!(byte(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("600"), Ok(0o600));
        assert_eq!(mode("0640"), Ok(0o640));
        assert_eq!(mode("0o660"), Ok(0o660));
        for wrong in ["9", "1777", "", "+7", "rw"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human_size(0), "0 B");
        assert_eq!(human_size(4096), "4 KiB");
        assert_eq!(human_size(1536), "1.5 KiB");
        assert_eq!(human_size(4 << 20), "4 MiB");
    }
}
