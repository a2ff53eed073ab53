//! Figures as SVG, written by hand: boxes, arrows and words, in colours that suit light and dark pages.

use std::fmt::Write;

/// The colours, for pages of either sort. A figure has a ground of its own, so that it can be read on any page.
const STYLE: &str = "\
svg { --ink: #1b2430; --ground: #fbfcfd; --line: #5b6b7c; --soft: #e6edf4; --blue: #cfe3fa; --good: #cfeed3; --bad: #f8d3d0; --gold: #faecc0 }
@media (prefers-color-scheme: dark) {
svg { --ink: #e4e9ef; --ground: #1a2029; --line: #93a3b5; --soft: #2b3541; --blue: #1f4468; --good: #23502b; --bad: #6b2a28; --gold: #5a4a14 }
}
text { font: 14px 'DejaVu Sans', Verdana, sans-serif; fill: var(--ink) }
.small { font-size: 12px }
.head { font-weight: bold }
.ground { fill: var(--ground) }
.plain { fill: var(--soft) } .blue { fill: var(--blue) } .good { fill: var(--good) } .bad { fill: var(--bad) } .gold { fill: var(--gold) }
.edge { stroke: var(--line); stroke-width: 1.2 }
.line { stroke: var(--line); stroke-width: 1.4; fill: none }
.dash { stroke-dasharray: 5 4 }
.thick { stroke-width: 4 }
.halo { paint-order: stroke; stroke: var(--ground); stroke-width: 5px; stroke-linejoin: round }
";

/// A figure in the making.
pub(crate) struct Svg {
    width: i32,
    height: i32,
    body: String,
}

impl Svg {
    pub(crate) fn new(width: i32, height: i32) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("memory");
    }

    /// A box with lines of text in its middle. `round` in `class` makes its ends round.
    pub(crate) fn block(&mut self, [x, y, width, height]: [i32; 4], class: &str, lines: &[&str]) {
        let radius = match class.split(' ').any(|word| word == "round") {
            true => height / 2,
            false => 4,
        };
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\" class=\"edge {class}\"/>"
        ));
        let size = if class.contains("small") { 15 } else { 18 };
        let first = y + height / 2 + 5 - size * (lines.len() as i32 - 1) / 2;
        let words = if class.contains("small") { "small" } else { "" };
        for (number, line) in lines.iter().enumerate() {
            let y = first + size * number as i32;
            self.text(x + width / 2, y, "middle", words, line);
        }
    }

    pub(crate) fn text(&mut self, x: i32, y: i32, anchor: &str, class: &str, words: &str) {
        let words = escaped(words);
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" class=\"{class}\">{words}</text>"
        ));
    }

    /// A line through these points, with a head at its end if `arrow`.
    pub(crate) fn path(&mut self, points: &[(i32, i32)], class: &str, arrow: bool) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let head = match arrow {
            true => " marker-end=\"url(#head)\"",
            false => "",
        };
        self.push(format_args!(
            "<polyline points=\"{}\" class=\"line {class}\"{head}/>",
            points.join(" ")
        ));
    }

    /// The whole file.
    pub(crate) fn finish(self, title: &str, source: &str) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <!-- Made of {source} by cargo xtask book: change that, and not this. -->\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n\
             <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0 0 L10 5 L0 10 z\" style=\"fill: var(--line)\"/></marker></defs>\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" class=\"ground\"/>\n{}</svg>\n",
            escaped(title),
            self.body
        )
    }
}

fn escaped(words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    words.replace('>', "&gt;")
}
