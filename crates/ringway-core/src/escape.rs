//! Names and texts of others, shown so that they do nothing: neither to a terminal, nor to the line that they stand in,
//! nor to a shell that they are pasted to.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

/// A name or a path as it stands in an address: whatever a shell or a terminal could take for more than a letter, and
/// what is no UTF-8, is `%` and two hexadecimal digits for each byte; so is `%` itself. What parses an address undoes it.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Of whatever has a name.
    pub fn of(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(name.as_ref().as_bytes())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match is_plain(letter) {
                    true => f.write_char(letter)?,
                    false => encode(letter.encode_utf8(&mut [0; 4]).as_bytes(), f)?,
                }
            }
            encode(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

/// Whether a shell takes it for a letter of a word, and a terminal shows it.
fn is_plain(letter: char) -> bool {
    match letter.is_ascii() {
        true => letter.is_ascii_alphanumeric() || "/.,:=@+-_".contains(letter),
        false => is_shown(letter) && !letter.is_whitespace(),
    }
}

/// Whether a terminal shows it, and does nothing else.
fn is_shown(letter: char) -> bool {
    // As a debug string has it. That escapes what controls, reorders, combines with others or has no width, and also
    // these:
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().eq([letter])
}

fn encode(bytes: &[u8], f: &mut impl Write) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "%{byte:02x}"))
}

/// The bytes that a [`Name`] was made of. `None` if there is a `%` without two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        rest = behind;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        bytes.push((digit(0)? << 4 | digit(1)?) as u8);
    }
    Some(bytes)
}

/// A text with words of others in it, in one line: what a terminal would not show is `%` and hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Line<T>(pub T);

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter(f), "{}", self.0)
    }
}

struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match is_shown(letter) {
                true => self.0.write_char(letter)?,
                false => encode(letter.encode_utf8(&mut [0; 4]).as_bytes(), self.0)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMFUL: [&[u8]; 12] = [
        b"\x1b[2J",
        b"a\nb",
        b"a\tb\r",
        b"\x7f",
        "\u{9b}31m".as_bytes(),
        "\u{202e}txt.exe".as_bytes(),
        "a\u{200b}b\u{feff}".as_bytes(),
        "o\u{300}".as_bytes(),
        "\u{a0}\u{2028}".as_bytes(),
        b"\xff\xfe",
        b"x; rm -rf ~ `id` $(id) 'q' \"q\" \\ * ? [a] {b} < > | & ! # ^",
        b"50%off%41",
    ];

    #[test]
    fn a_name_shows_as_one_word_and_comes_back() {
        for bytes in HARMFUL {
            let shown = Name(bytes).to_string();
            assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown}");
            let special = |letter| " ;~`$'\"\\*?[]{}<>|&!#^()".contains(letter);
            assert!(!shown.contains(special), "{shown}");
            assert_eq!(decode(&shown).as_deref(), Some(bytes), "{shown}");
        }
        for plain in [
            "orders",
            "a.b-c_d,e+f=g@h:1",
            "\u{fc}ber",
            "\u{65e5}\u{672c}",
        ] {
            assert_eq!(Name::of(plain).to_string(), plain);
        }
        for wrong in ["%", "%4", "a%zz", "%+1", "%\u{fc}", "%%"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_text_stays_a_line_and_readable() {
        let text = Line("it says \"don't\" \\ 100 %: \u{1b}[31m\n\u{202e}").to_string();
        assert_eq!(text, "it says \"don't\" \\ 100 %: %1b[31m%0a%e2%80%ae");
    }
}
