//! The few figures that the project's README shows, between two marks that stand there.

use std::fmt::Write as _;

use crate::data::{Data, Row};
use crate::tables::bytes;

const BEGIN: &str = "<!-- figures, written by `cargo xtask compare` -->\n";
const END: &str = "<!-- end of figures -->";

/// What the figures of a line are relative to.
#[derive(Clone, Copy)]
enum To {
    Reference,
    /// The best bare layout.
    Limit,
}

/// A line: what was done, and who did it, by the names that the data has and those that readers know.
struct Line {
    what: &'static str,
    work: &'static str,
    size: u64,
    ring: Option<u64>,
    to: To,
    own: &'static [(&'static str, &'static str)],
    others: &'static [(&'static str, &'static str)],
}

const LINES: [Line; 7] = [
    Line {
        what: "there and back, spinning; time to a bare slot",
        work: "rtt",
        size: 64,
        ring: Some(4 << 20),
        to: To::Reference,
        own: &[("ringway", "")],
        others: &[
            ("ringfire", "ringfire"),
            ("shmem-ipc", "shmem-ipc"),
            ("aeron offer", "Aeron"),
        ],
    },
    Line {
        what: "one way, one a call; rate to the best bare layout",
        work: "oneway",
        size: 64,
        ring: Some(4 << 20),
        to: To::Limit,
        own: &[
            ("ringway", ""),
            ("ringway typed", "typed"),
            ("ringway bulk", "in bulk"),
        ],
        others: &[
            ("ringfire", "ringfire"),
            ("shmem-ipc", "shmem-ipc"),
            ("shmem-ipc batch+drain", "in batches"),
            ("aeron offer", "Aeron"),
        ],
    },
    Line {
        what: "there and back, asleep, on one processor; time to a bare futex",
        work: "sleep, one processor",
        size: 64,
        ring: Some(4 << 20),
        to: To::Reference,
        own: &[("ringway park", "")],
        others: &[("pipe", "pipe"), ("unix socket", "Unix socket")],
    },
    Line {
        what: "from two to one, one a call; rate to a bare queue",
        work: "many 2:1",
        size: 64,
        ring: Some(128 << 10),
        to: To::Reference,
        own: &[("ringway", ""), ("ringway batch/64", "in batches")],
        others: &[("boost polled", "Boost"), ("iceoryx2 polled", "iceoryx2")],
    },
    Line {
        what: "copied in and out; rate to the best bare copy",
        work: "copy",
        size: 1 << 20,
        ring: Some(4 << 20),
        to: To::Limit,
        own: &[("ringway", "")],
        others: &[("shmem-ipc", "shmem-ipc"), ("unix socket", "Unix socket")],
    },
    Line {
        what: "written and read in place; rate to bare slots",
        work: "map",
        size: 1 << 20,
        ring: None,
        to: To::Limit,
        own: &[
            ("ringway slab", ""),
            ("ringway slab, read by blocks", "safely"),
        ],
        others: &[("iceoryx2 loan", "iceoryx2")],
    },
    Line {
        what: "not touched, there and back; time to 64 B in slabs",
        work: "hand",
        size: 64 << 20,
        ring: None,
        to: To::Reference,
        own: &[("ringway slab", "")],
        others: &[],
    },
];

impl Line {
    fn figures(&self, data: &Data, names: &[(&str, &str)]) -> String {
        let figure = |(name, shown): &(&str, &str)| {
            let row = |ring| data.row(self.work, self.size, ring, name);
            let row: &Row = row(self.ring).or_else(|| row(None))?;
            let figure = match self.to {
                To::Reference => row.to_reference(),
                To::Limit => data.limit(row).and_then(|limit| row.to_other(limit)),
            };
            let middle = figure?.middle;
            let space = if shown.is_empty() { "" } else { " " };
            Some(format!("{shown}{space}{middle:.2}"))
        };
        let figures: Vec<String> = names.iter().filter_map(figure).collect();
        figures.join(", ")
    }
}

/// The same text with the figures of this data between its marks; `None` if it has none.
pub fn renew(text: &str, data: &Data) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut table = "| | ringway | others |\n|---|---|---|\n".to_owned();
    for line in &LINES {
        let own = line.figures(data, line.own);
        if own.is_empty() {
            continue;
        }
        let ring = line
            .ring
            .filter(|_| line.work != "many 2:1")
            .map_or(String::new(), |ring| format!(", ring of {}", bytes(ring)));
        let _ = writeln!(
            table,
            "| {} {}{ring} | {own} | {} |",
            bytes(line.size),
            line.what,
            line.figures(data, line.others)
        );
    }
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "{\"run\":{}}\n\
        {\"work\":\"hand\",\"size\":67108864,\"ring\":null,\"contestant\":\"ringway slab\",\"key_before_ns\":[100],\
        \"key_behind_ns\":[100],\"p50_ns\":[5],\"p50_to_reference\":[1.25]}\n";

    #[test]
    fn figures_stand_between_the_marks_and_nothing_else_changes() {
        let mut data = Data::default();
        data.add(RUN).unwrap();
        let text = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let renewed = renew(&text, &data).unwrap();
        assert!(renewed.starts_with("before\n") && renewed.ends_with("\nafter\n"));
        assert!(
            renewed.contains(
                "| 64 MiB not touched, there and back; time to 64 B in slabs | 1.25 |  |"
            )
        );
        assert!(!renewed.contains("old"));
        assert_eq!(renew(&renewed, &data).as_ref(), Some(&renewed));
        assert_eq!(renew("no marks", &data), None);
    }
}
