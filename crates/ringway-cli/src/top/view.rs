//! How it looks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Gauge, Paragraph, Row, Sparkline, Table, TableState};
use ringway::os::Name;

use super::model::{Model, Page, fill};
use super::rows::{self, Level};
use crate::observe::{Participant, Process, Report, State};
use crate::units::human_size;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(model), head);
    match (model.page, model.selected()) {
        (Page::Detail, Some(report)) => detail(frame, model, report, body),
        _ => list(frame, model, body),
    }
    frame.render_widget(help(model), foot);
}

fn title(model: &Model) -> Paragraph<'static> {
    let mut text = format!("ringway top   {}", rows::summary(model));
    if model.is_paused {
        text.push_str("   PAUSED");
    }
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn help(model: &Model) -> Paragraph<'static> {
    let sorted = model.by.name();
    let text = match model.page {
        Page::Filter => format!("filter: {}_   Enter keep   Esc clear", model.filter),
        Page::Detail => "Esc back   Up/Down other   Space pause   Ctrl-C end".to_owned(),
        Page::List if model.filter.is_empty() => {
            format!("q end   Enter detail   s sort: {sorted}   / filter   Space pause")
        }
        Page::List => {
            let filter = &model.filter;
            format!("q end   Enter detail   s sort: {sorted}   filter: {filter}   Esc clear")
        }
    };
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED))
}

fn style(level: Level) -> Style {
    match level {
        Level::Quiet => Style::new(),
        Level::Busy => Style::new().fg(Color::Green),
        Level::Look => Style::new().fg(Color::Yellow),
        Level::Act => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn list(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let shown = model.shown();
    let lines = shown.iter().map(|report| {
        let level = rows::state(report).1;
        let [address, kind, fill, sent, received, lag, state] = rows::row(report);
        let right = |text: String| Line::from(text).right_aligned();
        Row::new([
            // The end of an address tells more than its beginning.
            Line::from(tail(&address, address_width(area))),
            Line::from(kind),
            right(fill),
            right(sent),
            right(received),
            right(lag),
            Line::from(Span::styled(state, style(level))),
        ])
    });
    let widths = [
        Constraint::Length(address_width(area)),
        Constraint::Length(9),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Fill(1),
    ];
    let [a, b, c, d, e, f, g] = rows::HEAD;
    let right = |text: &'static str| Line::from(text).right_aligned();
    let head = [
        a.into(),
        b.into(),
        right(c),
        right(d),
        right(e),
        right(f),
        g.into(),
    ];
    let head =
        Row::new::<[Line<'_>; 7]>(head).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let table = Table::new(lines, widths)
        .header(head)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::new().with_selected(model.selected_row());
    frame.render_stateful_widget(table, area, &mut at);
}

/// What is left beside the other columns and a state of some words.
fn address_width(area: Rect) -> u16 {
    area.width.saturating_sub(9 + 4 + 3 * 5 + 6 + 22).max(10)
}

fn tail(text: &str, width: u16) -> String {
    let count = text.chars().count();
    match count > width as usize {
        true => {
            let kept = text.chars().skip(count - (width as usize - 1));
            std::iter::once('…').chain(kept).collect()
        }
        false => text.to_owned(),
    }
}

fn detail(frame: &mut Frame<'_>, model: &Model, report: &Report, area: Rect) {
    let facts = facts(report);
    let [top, gauge, graphs, people] = Layout::vertical([
        Constraint::Length(facts.len() as u16),
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Min(0),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(facts), top);
    if let Some(percent) = fill(report) {
        let label = match report.capacity_bytes {
            Some(capacity) => {
                format!(
                    "{} of {}",
                    human_size(report.used_bytes),
                    human_size(capacity)
                )
            }
            None => format!("{percent}%"),
        };
        let bar = Gauge::default()
            .percent(percent as u16)
            .label(label)
            .gauge_style(Style::new().fg(Color::Blue).bg(Color::Black));
        frame.render_widget(bar, gauge);
    }
    if let Some(history) = model.history(report) {
        let halves = [Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)];
        let [left, right] = Layout::horizontal(halves).areas(graphs);
        for (name, rates, area) in [
            ("in", &history.sent, left),
            ("out", &history.received, right),
        ] {
            let width = area.width as usize;
            let kept = rates.iter().skip(rates.len().saturating_sub(width));
            let data: Vec<u64> = kept.copied().collect();
            let now = rows::short(rates.back().copied().unwrap_or(0) as f64);
            let most = rows::short(data.iter().copied().max().unwrap_or(0) as f64);
            let title = format!("{name} {now}/s, most {most}/s");
            let graph = Sparkline::default()
                .block(Block::new().borders(Borders::TOP).title(title))
                .data(data);
            frame.render_widget(graph, area);
        }
    }
    participants(frame, report, people);
}

/// What is known of it, a line each.
fn facts(report: &Report) -> Vec<Line<'static>> {
    let (state, level) = rows::state(report);
    let mut first = vec![
        Span::styled(
            report.address.clone(),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        format!("  {}", report.kind).into(),
    ];
    if let Some(sync) = report.sync {
        first.push(format!(", {sync}").into());
    }
    first.push("  ".into());
    first.push(Span::styled(state, style(level)));
    let mut lines = vec![Line::from(first)];
    if let Some(problem) = &report.problem {
        lines.push(ringway::os::Line(problem).to_string().into());
    }
    let mut figures = Vec::new();
    let mut add = |name: &str, figure: Option<u64>| {
        if let Some(figure) = figure {
            figures.push(format!("{name} {figure}"));
        }
    };
    add("sent", report.sent.or(report.next_number));
    add("received", report.received);
    add("waiting", report.messages);
    add("lag", Some(report.lag()));
    add("lost", report.overwritten);
    add("put in order", report.repaired);
    lines.push(figures.join("   ").into());
    if let Some(by) = &report.held_up_by {
        let named = |one: &Process| {
            let command = one.command.as_deref().unwrap_or("?");
            format!("{} ({}) {}", one.pid, Name::of(command), one.state.name())
        };
        let all: Vec<_> = by.iter().map(named).collect();
        let whom = match all.is_empty() {
            true => "nobody who lives: no consumer is there".to_owned(),
            false => all.join(", "),
        };
        lines.push(Line::styled(
            format!("held up by {whom}"),
            style(Level::Act),
        ));
    }
    for cursor in report.cursors.iter().take(4) {
        let name = Name::of(&cursor.name);
        lines.push(format!("cursor {name}: {} behind", cursor.behind).into());
    }
    lines
}

fn participants(frame: &mut Frame<'_>, report: &Report, area: Rect) {
    let lines = report.all().iter().map(|one| {
        let level = match one.state {
            State::Dead => Level::Act,
            State::Stopped => Level::Look,
            _ => Level::Quiet,
        };
        let command = one
            .command
            .as_deref()
            .map(|command| Name::of(command).to_string());
        Row::new([
            one.role.to_owned(),
            one.pid_here.unwrap_or(one.pid).to_string(),
            command.unwrap_or_else(|| "-".to_owned()),
            one.messages
                .map_or("-".to_owned(), |count| count.to_string()),
            what(one),
        ])
        .style(style(level))
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(16),
        Constraint::Length(12),
        Constraint::Fill(1),
    ];
    let head = Row::new(["ROLE", "PID", "COMMAND", "MESSAGES", "STATE"]);
    let head = head.style(Style::new().add_modifier(Modifier::UNDERLINED));
    frame.render_widget(Table::new(lines, widths).header(head), area);
}

fn what(one: &Participant) -> String {
    let mut text = one.state.name().to_owned();
    if let Some(what) = one.waits_for {
        text.push_str(&format!(", waits for {what}"));
    }
    if let Some(subscription) = &one.subscription {
        let evicted = match subscription.evicted {
            true => "evicted, ",
            false => "",
        };
        let (policy, behind) = (subscription.policy, subscription.behind);
        text = format!("{evicted}{text}, {policy}, {behind} behind");
    }
    text
}
