//! Sizes, durations and modes as they are written on a command line.

use std::time::Duration;

/// Bytes: `4096`, `64K`, `64KiB`, `1M`. Every unit is a power of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| format!("{error}; write a number of bytes such as 4096, 64K or 16MiB"))
}

/// A length of time: `100ms`, `5s`, `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a time such as 100ms, 5s or 2min"))
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
