//! A small language for figures, `docs/figures/*.fig`: one thing a line.
//!
//! ```text
//! title WORDS
//! size WIDTH HEIGHT
//! box NAME X Y WIDTH HEIGHT CLASSES | a line | another     classes: plain blue good bad gold, round, small
//! arrow NAME.SIDE NAME.SIDE CLASSES | label                sides: n e s w; classes: dash, or - for none
//! line X Y X Y ... CLASSES                                 a line through these points; dash, thick, head, or -
//! text X Y ANCHOR CLASSES | words                          anchors: start middle end; classes: small head, or -
//! # a remark
//! ```

use std::collections::BTreeMap;

use super::svg::Svg;

/// Draws it. `name` is the file's, for what is said of it.
pub(crate) fn draw(source: &str, name: &str) -> Result<String, String> {
    let mut drawing = Drawing {
        svg: None,
        title: String::new(),
        boxes: BTreeMap::new(),
    };
    for (number, line) in source.lines().enumerate() {
        drawing
            .line(line)
            .map_err(|problem| format!("{name}:{}: {problem}", number + 1))?;
    }
    let svg = drawing.svg.ok_or(format!("{name} has no size"))?;
    Ok(svg.finish(&drawing.title, name))
}

struct Drawing {
    svg: Option<Svg>,
    title: String,
    boxes: BTreeMap<String, [i32; 4]>,
}

impl Drawing {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.split('|').map(str::trim);
        let words: Vec<&str> = parts
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let texts: Vec<&str> = parts.collect();
        let Some((&what, rest)) = words.split_first() else {
            return Ok(());
        };
        if what == "title" {
            self.title = rest.join(" ");
            return Ok(());
        }
        let numbers: Vec<i32> = rest.iter().filter_map(|word| word.parse().ok()).collect();
        let others: Vec<&str> = rest
            .iter()
            .filter(|word| word.parse::<i32>().is_err())
            .copied()
            .collect();
        if what == "size" {
            let [width, height] = numbers[..] else {
                return Err("size WIDTH HEIGHT".to_owned());
            };
            self.svg = Some(Svg::new(width, height));
            return Ok(());
        }
        if what.starts_with('#') {
            return Ok(());
        }
        let svg = self.svg.as_mut().ok_or("the size comes first")?;
        match what {
            "box" => {
                let ([x, y, width, height], [name, classes @ ..]) = (&numbers[..], &others[..])
                else {
                    return Err("box NAME X Y WIDTH HEIGHT CLASSES".to_owned());
                };
                let place = [*x, *y, *width, *height];
                self.boxes.insert((*name).to_owned(), place);
                svg.block(place, &classes.join(" "), &texts);
            }
            "arrow" => {
                let [from, to, classes @ ..] = &others[..] else {
                    return Err("arrow NAME.SIDE NAME.SIDE CLASSES".to_owned());
                };
                let (start, out) = anchor(&self.boxes, from)?;
                let (end, into) = anchor(&self.boxes, to)?;
                let points = route(start, out, end, into);
                svg.path(&points, &classes.join(" "), true);
                if let Some(label) = texts.first() {
                    let (x, y) = label_place(&points);
                    svg.text(x, y, "middle", "small halo", label);
                }
            }
            "line" => {
                let points: Vec<(i32, i32)> =
                    numbers.chunks_exact(2).map(|at| (at[0], at[1])).collect();
                svg.path(&points, &others.join(" "), others.contains(&"head"));
            }
            "text" => {
                let ([x, y], [anchor, classes @ ..]) = (&numbers[..], &others[..]) else {
                    return Err("text X Y ANCHOR CLASSES".to_owned());
                };
                for (number, words) in texts.iter().enumerate() {
                    let y = y + 17 * number as i32;
                    svg.text(*x, y, anchor, &classes.join(" "), words);
                }
            }
            other => return Err(format!("there is no {other}")),
        }
        Ok(())
    }
}

type Point = (i32, i32);

/// Where `NAME.SIDE` is, and which way leads away from there.
fn anchor(boxes: &BTreeMap<String, [i32; 4]>, word: &str) -> Result<(Point, Point), String> {
    let (name, side) = word.split_once('.').ok_or("NAME.SIDE")?;
    let [x, y, width, height] = boxes.get(name).ok_or(format!("there is no box {name}"))?;
    Ok(match side {
        "n" => ((x + width / 2, *y), (0, -1)),
        "s" => ((x + width / 2, y + height), (0, 1)),
        "w" => ((*x, y + height / 2), (-1, 0)),
        "e" => ((x + width, y + height / 2), (1, 0)),
        other => return Err(format!("there is no side {other}")),
    })
}

/// The way from one to the other in right angles.
fn route(start: Point, out: Point, end: Point, into: Point) -> Vec<Point> {
    let straight = start.0 == end.0 || start.1 == end.1;
    let (middle_x, middle_y) = ((start.0 + end.0) / 2, (start.1 + end.1) / 2);
    // Two that leave on the same side: around.
    if out == into {
        let far = 26;
        return match out {
            (0, way) => {
                let y = if way > 0 {
                    start.1.max(end.1) + far
                } else {
                    start.1.min(end.1) - far
                };
                vec![start, (start.0, y), (end.0, y), end]
            }
            (way, _) => {
                let x = if way > 0 {
                    start.0.max(end.0) + far
                } else {
                    start.0.min(end.0) - far
                };
                vec![start, (x, start.1), (x, end.1), end]
            }
        };
    }
    match (out.0 == 0, into.0 == 0) {
        _ if straight => vec![start, end],
        (true, true) => vec![start, (start.0, middle_y), (end.0, middle_y), end],
        (false, false) => vec![start, (middle_x, start.1), (middle_x, end.1), end],
        (true, false) => vec![start, (start.0, end.1), end],
        (false, true) => vec![start, (end.0, start.1), end],
    }
}

/// Beside the middle of the longest part.
fn label_place(points: &[Point]) -> Point {
    let length = |pair: &&[Point]| (pair[0].0 - pair[1].0).abs() + (pair[0].1 - pair[1].1).abs();
    let longest = points.windows(2).max_by_key(length).expect("two points");
    let (one, other) = (longest[0], longest[1]);
    ((one.0 + other.0) / 2, (one.1 + other.1) / 2 + 4)
}
