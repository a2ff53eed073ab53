//! The table of counts: made, written, read and compared.

use std::fmt;

/// Tenths of an instruction of one message.
pub(super) struct Row {
    ring: String,
    work: String,
    bytes: u32,
    usual: u64,
    lap: u64,
}

pub(super) struct Table {
    /// What compiled it: another one makes other code.
    compiler: String,
    pub(super) rows: Vec<Row>,
}

const INTRODUCTION: &str = "\
# Instructions of a message

Written by `cargo xtask instructions --bless`, and compared by `cargo xtask instructions`: none may grow unnoticed. Each
operation is single-stepped in a release build, in steady state: one lap, of 50 to 100 messages, of a ring in which 4 lie
all the time, and nobody waits. *usual* is the median of that lap's operations, *lap* their mean, with the end of the lap and all
that happens now and then. `batch` is 8 pushes and the commit, `drain` 8 messages that are copied out, both by the message. In
place, one byte is written and none is read. `send_all` and `recv_all` are 8 values at once, by the message; a value has its length as
a type. *stream* is a ring of kind spsc, *cells* one of kind mpmc, of sync futex where no other is named. On a *board* one value is
written and read by the same thread, as bytes and by its type; `get` reads what was written since, and `get again` what was read before.
";

const COMPILER: &str = "Compiled by ";
const HEADING: &str = "| ring | operation | bytes | usual | lap |\n|---|---|---|---|---|";

impl Row {
    /// Of the counts of pieces of work that have so many messages each.
    pub(super) fn new(
        ring: &str,
        work: &str,
        bytes: u32,
        mut counts: Vec<u64>,
        messages: u64,
    ) -> Self {
        counts.sort_unstable();
        let middle = counts.get(counts.len() / 2).copied().unwrap_or_default();
        let all: u64 = counts.iter().sum();
        let pieces = (counts.len() as u64).max(1);
        Self {
            ring: ring.to_owned(),
            work: work.to_owned(),
            bytes,
            usual: middle * 10 / messages,
            lap: all * 10 / (pieces * messages),
        }
    }

    fn name(&self) -> String {
        name(&self.ring, &self.work, self.bytes)
    }

    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [ring, work, bytes, usual, lap] = columns[..] else {
            return None;
        };
        Some(Self {
            ring: ring.to_owned(),
            work: work.to_owned(),
            bytes: bytes.parse().ok()?,
            usual: tenths(usual)?,
            lap: tenths(lap)?,
        })
    }
}

impl Table {
    pub(super) fn new(compiler: String) -> Self {
        Self {
            compiler,
            rows: Vec::new(),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let compiler = text.lines().find_map(|line| line.strip_prefix(COMPILER));
        let compiler = compiler.ok_or("it does not say what compiled it")?;
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
        let rows: Option<Vec<Row>> = rows.map(Row::parse).collect();
        Ok(Self {
            compiler: compiler.trim_end_matches('.').to_owned(),
            rows: rows.ok_or("a row is none")?,
        })
    }

    /// An error if a count is greater than in `before`, or the tables have not the same rows whose names contain `only`.
    pub(super) fn compare(&self, before: &Self, only: &str) -> Result<(), String> {
        let (mut grown, mut fallen) = (Vec::new(), 0);
        for row in &self.rows {
            let name = row.name();
            let Some(old) = before.rows.iter().find(|old| old.name() == name) else {
                grown.push(format!("{name}: not there before"));
                continue;
            };
            for (what, old, new) in [("usual", old.usual, row.usual), ("lap", old.lap, row.lap)] {
                if new > old {
                    grown.push(format!("{name}: {what} {} -> {}", shown(old), shown(new)));
                }
                fallen += u32::from(new < old);
            }
        }
        let is_gone = |old: &&Row| {
            old.name().contains(only) && !self.rows.iter().any(|row| row.name() == old.name())
        };
        let gone = before.rows.iter().filter(is_gone);
        grown.extend(gone.map(|old| format!("{}: gone", old.name())));
        if fallen > 0 {
            println!("{fallen} counts have fallen: `cargo xtask instructions --bless` notes that");
        }
        if grown.is_empty() {
            return Ok(());
        }
        let mut problem = grown.join("\n");
        if self.compiler != before.compiler {
            let (old, new) = (&before.compiler, &self.compiler);
            problem += &format!("\n(the table was compiled by {old}, and this by {new})");
        }
        Err(format!(
            "{problem}\nMore instructions than before. Where that is meant: `cargo xtask instructions --bless`"
        ))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{INTRODUCTION}\n{COMPILER}{}.\n\n{HEADING}",
            self.compiler
        )?;
        for row in &self.rows {
            let Row {
                ring, work, bytes, ..
            } = row;
            let (usual, lap) = (shown(row.usual), shown(row.lap));
            writeln!(f, "| {ring} | {work} | {bytes} | {usual} | {lap} |")?;
        }
        Ok(())
    }
}

pub(super) fn name(ring: &str, work: &str, bytes: u32) -> String {
    format!("{ring}, {work}, {bytes} bytes")
}

fn shown(tenths: u64) -> String {
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        part => format!("{}.{part}", tenths / 10),
    }
}

fn tenths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
    (part < 10).then_some(whole * 10 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(usual: u64) -> Table {
        let mut table = Table::new("rustc 1".to_owned());
        table.rows = vec![
            Row::new("stream", "send", 8, vec![70, usual, 60], 1),
            Row::new("stream", "drain", 8, vec![161, 161], 8),
        ];
        table
    }

    #[test]
    fn what_is_written_is_read() {
        let written = table(65);
        let read = Table::parse(&written.to_string()).unwrap();
        assert_eq!(read.to_string(), written.to_string());
        assert!(
            written
                .to_string()
                .contains("| stream | drain | 8 | 20.1 | 20.1 |")
        );
        assert_eq!(written.compare(&read, ""), Ok(()));
    }

    #[test]
    fn a_growth_is_an_error_and_a_fall_is_none() {
        assert_eq!(table(65).compare(&table(66), ""), Ok(()));
        let problem = table(66).compare(&table(65), "").unwrap_err();
        assert!(
            problem.contains("stream, send, 8 bytes: usual 65 -> 66"),
            "{problem}"
        );
    }

    #[test]
    fn a_row_that_is_new_or_gone_is_an_error() {
        let mut less = table(65);
        less.rows.pop();
        assert!(less.compare(&table(65), "").unwrap_err().contains("gone"));
        assert_eq!(less.compare(&table(65), "send"), Ok(()));
        assert!(
            table(65)
                .compare(&less, "")
                .unwrap_err()
                .contains("not there before")
        );
    }
}
