//! Plots, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::data::{Data, Row};
use crate::tables::bytes;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Who is drawn in which colour; others are not drawn where lines would be too many.
const LINES: [(&str, RGBColor); 12] = [
    ("ringway", RGBColor(200, 0, 30)),
    ("ringway batch+drain", RGBColor(240, 120, 130)),
    ("ringfire", RGBColor(0, 90, 200)),
    ("ringfire batch", RGBColor(120, 170, 240)),
    ("shmem-ipc", RGBColor(0, 140, 70)),
    ("shmem-ipc batch+drain", RGBColor(120, 200, 150)),
    ("aeron offer", RGBColor(150, 80, 0)),
    ("aeron claim", RGBColor(220, 160, 60)),
    ("rtrb, threads", RGBColor(120, 60, 160)),
    ("raw slot", RGBColor(0, 0, 0)),
    ("raw packed/64", RGBColor(150, 150, 150)),
    ("crossbeam-channel, threads", RGBColor(190, 150, 210)),
];

const MORE: [RGBColor; 8] = [
    RGBColor(200, 0, 30),
    RGBColor(0, 90, 200),
    RGBColor(0, 140, 70),
    RGBColor(150, 80, 0),
    RGBColor(120, 60, 160),
    RGBColor(0, 0, 0),
    RGBColor(0, 160, 170),
    RGBColor(150, 150, 150),
];

struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// What is drawn of some lines.
struct Chart<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Of the places on the x axis.
    labels: Vec<String>,
}

/// Draws what there is data for; titles and names of the files.
pub fn draw_all(data: &Data, directory: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    for ring in distinct(data, |row| {
        (row.work == "oneway").then_some(row.ring).flatten()
    }) {
        let sizes = distinct(data, |row| {
            row.is("oneway", row.size, Some(ring)).then_some(row.size)
        });
        let title = format!("Rate by size, ring of {}", bytes(ring));
        let file = format!("rate-by-size-{}.svg", ring >> 10);
        let lines = lines(&sizes, |size, name| {
            data.row("oneway", size, Some(ring), name)
        });
        let labels = sizes.iter().copied().map(bytes).collect();
        let chart = Chart {
            title: &title,
            x: "bytes of a message",
            y: "million messages a second",
            labels,
        };
        if sizes.len() > 1 && chart.draw(&directory.join(&file), &lines)? {
            drawn.push((title, file));
        }
    }
    for size in distinct(data, |row| (row.work == "oneway").then_some(row.size)) {
        let rings = distinct(data, |row| {
            (row.work == "oneway" && row.size == size)
                .then_some(row.ring)
                .flatten()
        });
        let title = format!("Rate by ring size, messages of {}", bytes(size));
        let file = format!("rate-by-ring-{size}.svg");
        let lines = lines(&rings, |ring, name| {
            data.row("oneway", size, Some(ring), name)
        });
        let labels = rings.iter().copied().map(bytes).collect();
        let chart = Chart {
            title: &title,
            x: "bytes of the ring",
            y: "million messages a second",
            labels,
        };
        if rings.len() > 1 && chart.draw(&directory.join(&file), &lines)? {
            drawn.push((title, file));
        }
    }
    drawn.extend(latencies(data, directory)?);
    drawn.extend(many(data, directory)?);
    for (work, title, file) in [
        (
            "hierarchy",
            "Ways to talk: messages of 64 bytes a second",
            "hierarchy-rate.svg",
        ),
        (
            "hierarchy-rtt",
            "Ways to talk: nanoseconds there and back",
            "hierarchy-round-trip.svg",
        ),
    ] {
        let bars: Vec<(String, f64)> = data
            .rows
            .iter()
            .filter(|row| row.work == work && row.size == 64)
            .filter_map(|row| Some((row.contestant.clone(), row.figure(row.measure())?.middle)))
            .collect();
        if bars.len() > 1 {
            draw_bars(title, &directory.join(file), bars)?;
            drawn.push((title.to_owned(), file.to_owned()));
        }
    }
    Ok(drawn)
}

/// In order.
fn distinct(data: &Data, of: impl Fn(&Row) -> Option<u64>) -> Vec<u64> {
    let mut found: Vec<u64> = data.rows.iter().filter_map(of).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn lines<'a>(places: &[u64], row: impl Fn(u64, &str) -> Option<&'a Row>) -> Vec<Line> {
    let line = |&(name, colour): &(&str, RGBColor)| {
        let points = places.iter().enumerate().filter_map(|(index, place)| {
            Some((
                index as f64,
                row(*place, name)?.figure("rate")?.middle / 1e6,
            ))
        });
        let (name, points) = (name.to_owned(), points.collect());
        Line {
            name,
            colour,
            points,
        }
    };
    LINES.iter().map(line).collect()
}

/// The trips that all but so many of a thousand or ten thousand stay below.
fn latencies(data: &Data, directory: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    for (work, title, file) in [
        (
            "rtt",
            "Round trips of 64 bytes, spinning",
            "latency-rtt.svg",
        ),
        (
            "sleep",
            "Round trips of 64 bytes, asleep in between",
            "latency-sleep.svg",
        ),
    ] {
        let rows = data
            .rows
            .iter()
            .filter(|row| row.work == work && row.size == 64);
        let mut labels = Vec::new();
        let mut lines = Vec::new();
        for (row, colour) in rows
            .filter(|row| row.ring.is_none_or(|ring| ring == 4 << 20))
            .zip(MORE)
        {
            let quantiles = row.quantiles();
            labels = quantiles
                .iter()
                .map(|(share, _)| format!("{} %", share * 100.0))
                .collect();
            let points = quantiles
                .iter()
                .enumerate()
                .map(|(index, (_, trip))| (index as f64, *trip));
            let (name, points) = (row.contestant.clone(), points.collect());
            lines.push(Line {
                name,
                colour,
                points,
            });
        }
        let chart = Chart {
            title,
            x: "share of the trips",
            y: "nanoseconds at most",
            labels,
        };
        if chart.draw(&directory.join(file), &lines)? {
            drawn.push((title.to_owned(), file.to_owned()));
        }
    }
    Ok(drawn)
}

fn many(data: &Data, directory: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut drawn = Vec::new();
    let shapes: Vec<String> = ["1:1", "2:1", "1:2", "2:2"]
        .map(|shape| format!("many {shape}"))
        .to_vec();
    for ring in distinct(data, |row| {
        row.work.starts_with("many ").then_some(row.ring).flatten()
    }) {
        let mut names: Vec<&str> = Vec::new();
        for row in data.rows.iter().filter(|row| row.work.starts_with("many ")) {
            if !names.contains(&row.contestant.as_str()) {
                names.push(&row.contestant);
            }
        }
        names.retain(|name| !name.contains("spin") && !name.contains("/16"));
        let lines: Vec<Line> = names
            .iter()
            .zip(MORE)
            .map(|(name, colour)| {
                let points = shapes.iter().enumerate().filter_map(|(index, shape)| {
                    let rate = data
                        .row(shape, 64, Some(ring), name)?
                        .figure("rate")?
                        .middle;
                    Some((index as f64, rate / 1e6))
                });
                let (name, points) = ((*name).to_owned(), points.collect());
                Line {
                    name,
                    colour,
                    points,
                }
            })
            .collect();
        let title = format!("Many to many, 64 bytes, {} cells", ring / 128);
        let file = format!("many-{}.svg", ring / 128);
        let labels = shapes
            .iter()
            .map(|shape| shape.replace("many ", ""))
            .collect();
        let chart = Chart {
            title: &title,
            x: "producers : consumers",
            y: "million messages a second",
            labels,
        };
        if chart.draw(&directory.join(&file), &lines)? {
            drawn.push((title, file));
        }
    }
    Ok(drawn)
}

impl Chart<'_> {
    /// Unless there is nothing to draw.
    fn draw(&self, path: &Path, lines: &[Line]) -> Result<bool, Box<dyn Error>> {
        let lines: Vec<&Line> = lines.iter().filter(|line| line.points.len() > 1).collect();
        let heights = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
        let (Some(least), Some(greatest)) =
            (heights().reduce(f64::min), heights().reduce(f64::max))
        else {
            return Ok(false);
        };
        let area: Area<'_> = SVGBackend::new(path, (960, 560)).into_drawing_area();
        area.fill(&WHITE)?;
        let last = self.labels.len() as f64 - 1.0;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(-0.1..last + 1.6, (least * 0.8..greatest * 1.2).log_scale())?;
        let label = |x: &f64| {
            let index = x.round();
            let is_place = (x - index).abs() < 1e-6 && index >= 0.0;
            let label = is_place.then(|| self.labels.get(index as usize)).flatten();
            label.cloned().unwrap_or_default()
        };
        chart
            .configure_mesh()
            .x_labels(8)
            .x_label_formatter(&label)
            .y_label_formatter(&|y| number(*y))
            .x_desc(self.x)
            .y_desc(self.y)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for line in lines {
            let colour = line.colour;
            chart
                .draw_series(
                    LineSeries::new(line.points.iter().copied(), colour.stroke_width(2))
                        .point_size(3),
                )?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .border_style(BLACK)
            .background_style(WHITE)
            .draw()?;
        area.present()?;
        Ok(true)
    }
}

/// One bar below the other, by length, on a logarithmic scale.
fn draw_bars(title: &str, path: &Path, mut bars: Vec<(String, f64)>) -> Result<(), Box<dyn Error>> {
    bars.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let least = bars
        .iter()
        .map(|(_, length)| *length)
        .fold(f64::INFINITY, f64::min);
    let greatest = bars.iter().map(|(_, length)| *length).fold(1.0, f64::max);
    let start = least / 2.0;
    let area: Area<'_> =
        SVGBackend::new(path, (960, 80 + 26 * bars.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 22))
        .margin(12)
        .margin_left(280)
        .x_label_area_size(28)
        .build_cartesian_2d((start..greatest * 3.0).log_scale(), 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|x| number(*x))
        .draw()?;
    for (index, (name, length)) in bars.iter().enumerate() {
        let (below, above) = (index as f64 + 0.2, index as f64 + 0.8);
        let colour = match name.starts_with("ringway") {
            true => RGBColor(200, 0, 30),
            false => RGBColor(110, 140, 180),
        };
        chart.draw_series([Rectangle::new(
            [(start, below), (*length, above)],
            colour.filled(),
        )])?;
        let place = chart.backend_coord(&(start, above));
        let text = |text: String, x: i32| {
            area.draw_text(
                &text,
                &("sans-serif", 14).into_text_style(&area),
                (x, place.1),
            )
        };
        text(name.clone(), 16)?;
        text(
            number(*length),
            chart.backend_coord(&(*length, above)).0 + 6,
        )?;
    }
    area.present()?;
    Ok(())
}

fn number(number: f64) -> String {
    match number {
        _ if number >= 1e6 => format!("{:.1} M", number / 1e6),
        _ if number >= 1e4 => format!("{:.0} k", number / 1e3),
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 1.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
