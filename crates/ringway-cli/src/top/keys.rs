//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Model, Page};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    End,
}

pub(super) fn press(model: &mut Model, key: KeyEvent) -> Then {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Then::End;
    }
    if model.page == Page::Filter {
        match key.code {
            KeyCode::Enter => model.page = Page::List,
            KeyCode::Esc => {
                model.filter.clear();
                model.page = Page::List;
            }
            KeyCode::Backspace => _ = model.filter.pop(),
            KeyCode::Char(letter) if !letter.is_control() => model.filter.push(letter),
            _ => {}
        }
        model.arrange();
        return Then::GoOn;
    }
    match (key.code, model.page) {
        (KeyCode::Char('q'), Page::List) => return Then::End,
        (KeyCode::Esc, Page::List) if model.filter.is_empty() => return Then::End,
        (KeyCode::Esc, Page::List) => {
            model.filter.clear();
            model.arrange();
        }
        (KeyCode::Esc | KeyCode::Char('q') | KeyCode::Enter, _) if model.page == Page::Detail => {
            model.page = Page::List;
        }
        (KeyCode::Enter, _) => model.open(),
        (KeyCode::Char('/'), _) => model.page = Page::Filter,
        (KeyCode::Char('s'), _) => {
            model.by = model.by.next();
            model.arrange();
        }
        (KeyCode::Char(' '), _) => model.is_paused = !model.is_paused,
        (KeyCode::Down | KeyCode::Char('j'), _) => model.step(1),
        (KeyCode::Up | KeyCode::Char('k'), _) => model.step(-1),
        (KeyCode::PageDown, _) => model.step(10),
        (KeyCode::PageUp, _) => model.step(-10),
        (KeyCode::Home | KeyCode::Char('g'), _) => model.step(isize::MIN),
        (KeyCode::End | KeyCode::Char('G'), _) => model.step(isize::MAX),
        _ => {}
    }
    Then::GoOn
}
