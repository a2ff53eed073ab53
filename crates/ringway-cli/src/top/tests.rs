//! What is on the screen, as pictures of text in `snapshots/`.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::{Then, press};
use super::model::{Model, Page};
use super::{rows, view};
use crate::cli::TopBy;
use crate::observe::{Participant, Process, Report, Service, State, Subscription};

fn participant(role: &'static str, pid: u32, state: State) -> Participant {
    Participant {
        role,
        pid,
        pid_here: Some(pid),
        pid_namespace: Some(0),
        command: (state != State::Dead).then(|| format!("prog{pid}")),
        state,
        alive: state != State::Dead,
        epoch: Some(1),
        attached_ns: Some(0),
        waits_for: None,
        messages: Some(100),
        subscription: None,
    }
}

fn ring(address: &str, kind: &'static str, sent: u64, received: u64) -> Report {
    Report {
        address: address.to_owned(),
        kind,
        sync: Some("futex"),
        used_bytes: (sent - received) * 16,
        capacity_bytes: Some(4096),
        messages: Some(sent - received),
        sent: Some(sent),
        received: Some(received),
        overwritten: Some(0),
        repaired: Some(0),
        participants: Some(vec![
            participant("producer", 100, State::Running),
            participant("consumer", 200, State::Running),
        ]),
        ..Report::default()
    }
}

/// A machine with a bit of everything, at its `round`th look.
fn machine(round: u64) -> Vec<Report> {
    let mut blocked = ring("shm:blocked", "spsc", 300, 45);
    let people = blocked.participants.as_mut().unwrap();
    people[0].waits_for = Some("room");
    people[1].state = State::Stopped;
    blocked.held_up_by = Some(vec![Process {
        pid: 200,
        command: Some("prog200".to_owned()),
        state: State::Stopped,
    }]);
    let mut dead = ring(
        "file:/var/lib/a/rather/long/path/to/dead.ring",
        "mpmc",
        9,
        4,
    );
    let people = dead.participants.as_mut().unwrap();
    people[1] = participant("consumer", 200, State::Dead);
    let mut news = ring("shm:news", "broadcast", 1000 + 2500 * round, 900);
    news.used_bytes = 512;
    news.messages = Some(1);
    let people = news.participants.as_mut().unwrap();
    people[1].subscription = Some(Subscription {
        policy: "lossy",
        evicted: true,
        next_number: 900,
        behind: 100,
    });
    let mut service = ring("shm:upper", "service", 77, 0);
    service.received = None;
    service.messages = None;
    service.used_bytes = 64;
    service.service = Some(Service {
        servers: 0,
        clients: 2,
        desks: 240,
    });
    let queue = Report {
        address: "mq:/jobs".to_owned(),
        kind: "queue",
        messages: Some(5),
        max_messages: Some(10),
        senders: Some(1),
        receivers: Some(1),
        ..Report::default()
    };
    let damaged = Report {
        address: "shm:broken".to_owned(),
        kind: "damaged",
        problem: Some("cannot inspect shm:broken: its header is damaged".to_owned()),
        ..Report::default()
    };
    let busy = ring("shm:busy", "spsc", 50_000 * round, 50_000 * round);
    let idle = ring("shm:idle", "spsc", 5, 5);
    vec![blocked, dead, news, service, queue, damaged, busy, idle]
}

fn model() -> Model {
    let mut model = Model::new(TopBy::State, None);
    let start = Instant::now();
    for round in 0..5 {
        model.take(machine(round), 0, start + Duration::from_secs(round * 2));
    }
    model
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

fn press_all(model: &mut Model, keys: &[KeyCode]) {
    for key in keys {
        let then = press(model, KeyEvent::new(*key, KeyModifiers::NONE));
        assert_eq!(then, Then::GoOn, "{key:?}");
    }
}

#[test]
fn the_list_has_what_is_in_trouble_first() {
    insta::assert_snapshot!(screen(&model(), 80, 24));
}

#[test]
fn one_in_full_tells_who_holds_whom_up() {
    let mut model = model();
    let row = model
        .shown()
        .iter()
        .position(|one| one.held_up_by.is_some());
    for _ in 0..row.unwrap() {
        press_all(&mut model, &[KeyCode::Down]);
    }
    press_all(&mut model, &[KeyCode::Enter]);
    insta::assert_snapshot!(screen(&model, 80, 24));
}

#[test]
fn a_history_is_drawn() {
    let mut model = model();
    press_all(&mut model, &[KeyCode::Char('/')]);
    press_all(
        &mut model,
        &"news".chars().map(KeyCode::Char).collect::<Vec<_>>(),
    );
    press_all(&mut model, &[KeyCode::Enter, KeyCode::Enter]);
    assert_eq!(model.selected().unwrap().address, "shm:news");
    insta::assert_snapshot!(screen(&model, 80, 24));
}

#[test]
fn a_filter_shows_what_has_the_text_and_keeps_the_selection_in_sight() {
    let mut model = model();
    press_all(&mut model, &[KeyCode::End, KeyCode::Char('/')]);
    press_all(
        &mut model,
        &"spsc".chars().map(KeyCode::Char).collect::<Vec<_>>(),
    );
    assert_eq!(model.page, Page::Filter);
    let kinds: Vec<_> = model.shown().iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["spsc"; 3]);
    insta::assert_snapshot!(screen(&model, 80, 24));
    press_all(&mut model, &[KeyCode::Esc]);
    assert_eq!(model.shown().len(), 8);
    // Also by the name of a command.
    model.filter = "PROG100".to_owned();
    model.arrange();
    assert_eq!(model.shown().len(), 6);
    model.filter = "nothing has this".to_owned();
    model.arrange();
    assert!(model.selected().is_none());
    press_all(
        &mut model,
        &[KeyCode::Enter, KeyCode::Down, KeyCode::PageUp],
    );
    let _ = screen(&model, 80, 24);
}

#[test]
fn the_selected_one_stays_selected_when_the_order_changes() {
    let mut model = model();
    press_all(&mut model, &[KeyCode::Down, KeyCode::Down]);
    let selected = model.selected().unwrap().address.clone();
    for _ in 0..5 {
        press_all(&mut model, &[KeyCode::Char('s')]);
        assert_eq!(model.selected().unwrap().address, selected);
    }
    assert_eq!(model.by, TopBy::State);
    // It is gone: another one is selected, and its page is left.
    press_all(&mut model, &[KeyCode::Enter]);
    assert_eq!(model.page, Page::Detail);
    let mut left = machine(9);
    left.retain(|one| one.address != selected);
    model.take(left, 0, Instant::now() + Duration::from_secs(100));
    assert_eq!(model.page, Page::List);
    assert!(model.selected().is_some());
}

#[test]
fn any_size_of_terminal_will_do() {
    let mut model = model();
    for page in [Page::List, Page::Detail, Page::Filter] {
        model.page = page;
        for (width, height) in [(1, 1), (10, 3), (40, 10), (200, 60)] {
            let _ = screen(&model, width, height);
        }
    }
    let empty = Model::new(TopBy::Lag, None);
    assert!(screen(&empty, 80, 24).contains("0 things"));
}

#[test]
fn keys_end_it() {
    let mut model = model();
    let mut press = |code, modifiers| press(&mut model, KeyEvent::new(code, modifiers));
    assert_eq!(press(KeyCode::Enter, KeyModifiers::NONE), Then::GoOn);
    // Of a page the way leads back first.
    assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Then::GoOn);
    assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE), Then::End);
    assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Then::End);
}

#[test]
fn figures_are_short() {
    for (figure, expected) in [
        (0.0, "0"),
        (0.5, "0.5"),
        (7.0, "7"),
        (42.4, "42"),
        (999.4, "999"),
        (999.6, "1.0k"),
        (12_345.0, "12.3k"),
        (123_456.0, "123k"),
        (5_000_000.0, "5.0M"),
        (1e15, ">1P"),
    ] {
        assert_eq!(rows::short(figure), expected);
    }
    for (seconds, expected) in [
        (0.4, "0s"),
        (59.9, "59s"),
        (60.0, "1min"),
        (7300.0, "2h"),
        (1e6, "11d"),
    ] {
        assert_eq!(rows::duration(seconds), expected);
    }
}
