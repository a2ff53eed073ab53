//! The figure of a segment, to scale, from `docs/figures/layout.txt`, which a test of ringway-core holds to the layout's
//! own numbers (`memory/layout/figure.rs`).

use super::svg::Svg;

const WIDTH: i32 = 680;
/// Where the bars begin, and how wide the longest is.
const LEFT: i32 = 20;
const BAR: i32 = 640;

/// A part of a segment.
struct Part {
    from: i32,
    to: i32,
    what: String,
}

/// Draws all segments of the source, one bar each, in one scale.
pub(crate) fn draw(source: &str, name: &str) -> Result<String, String> {
    let mut segments: Vec<(String, Vec<Part>)> = Vec::new();
    for line in source.lines() {
        if let Some(title) = line.strip_prefix("segment ") {
            segments.push((title.to_owned(), Vec::new()));
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().ok_or(format!("{name}: {line}"));
        let number = |word: &str| word.parse().map_err(|_| format!("{name}: {line}"));
        let part = Part {
            from: number(next()?)?,
            to: number(next()?)?,
            what: next()?.to_owned(),
        };
        let (_, parts) = segments
            .last_mut()
            .ok_or(format!("{name}: a segment comes first"))?;
        if part.to > part.from {
            parts.push(part);
        }
    }
    let longest = segments.iter().filter_map(|(_, parts)| parts.last());
    let longest = longest.map(|part| part.to).max().unwrap_or(1);
    let scaled = |at: i32| LEFT + (i64::from(at) * i64::from(BAR) / i64::from(longest)) as i32;

    let row = 150;
    let mut svg = Svg::new(WIDTH, 20 + row * segments.len() as i32);
    for (number, (title, parts)) in segments.iter().enumerate() {
        let top = 15 + row * number as i32;
        svg.text(LEFT, top + 14, "start", "head", title);
        let narrow = parts.iter().filter(|part| part.what != "-").count() - 1;
        for (number, part) in parts.iter().enumerate() {
            let (from, to) = (scaled(part.from), scaled(part.to));
            let class = match part.what.as_str() {
                "-" => "ground dash",
                "header" => "gold",
                "control lines" => "blue",
                "participants" => "plain",
                "sights" => "bad",
                _ => "good",
            };
            svg.block([from, top + 24, to - from, 34], class, &[]);
            if part.what == "-" {
                continue;
            }
            let label = format!("{}: {} to {}", part.what, part.from, part.to);
            if to - from > 200 {
                svg.text((from + to) / 2, top + 46, "middle", "", &label);
            } else {
                // The narrow ones have a row each, the last one the nearest.
                let y = top + 58 + 17 * (narrow - number) as i32;
                svg.path(
                    &[(from + 2, top + 58), (from + 2, y - 4), (from + 10, y - 4)],
                    "",
                    false,
                );
                svg.text(from + 14, y, "start", "small", &label);
            }
        }
    }
    Ok(svg.finish("A segment, drawn to scale, in bytes", name))
}
