//! What is known, and what of it is shown.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::cli::TopBy;
use crate::observe::{Pace, Report};

/// How many looks back the history goes.
const HISTORY: usize = 240;

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    List,
    /// The list, while a filter is typed.
    Filter,
    /// The selected one in full.
    Detail,
}

/// Messages a second, in and out, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) sent: VecDeque<u64>,
    pub(super) received: VecDeque<u64>,
}

pub(super) struct Model {
    pub(super) page: Page,
    pub(super) by: TopBy,
    /// Only what has this in its address or kind, or in a command's name.
    pub(super) filter: String,
    pub(super) is_paused: bool,
    /// Files that were named and cannot be looked at.
    pub(super) failures: usize,
    pace: Pace,
    all: Vec<Report>,
    histories: HashMap<String, History>,
    /// Which of them are shown, in their order.
    order: Vec<usize>,
    /// The address of the selected one: it stays that when the order changes.
    selected: Option<String>,
    /// Whether a key has selected it. Until then it is the first one, whichever that is.
    is_chosen: bool,
}

impl Model {
    pub(super) fn new(by: TopBy, filter: Option<String>) -> Self {
        Self {
            page: Page::List,
            by,
            filter: filter.unwrap_or_default(),
            is_paused: false,
            failures: 0,
            pace: Pace::default(),
            all: Vec::new(),
            histories: HashMap::new(),
            order: Vec::new(),
            selected: None,
            is_chosen: false,
        }
    }

    /// What was found by a look.
    pub(super) fn take(&mut self, mut reports: Vec<Report>, failures: usize, at: Instant) {
        self.pace.mark(&mut reports, at);
        let mut histories = HashMap::new();
        for report in &reports {
            let mut history = self.histories.remove(&report.address).unwrap_or_default();
            if let Some(activity) = &report.activity {
                push(&mut history.sent, activity.sent_per_second);
                push(&mut history.received, activity.received_per_second);
            }
            histories.insert(report.address.clone(), history);
        }
        (self.all, self.histories, self.failures) = (reports, histories, failures);
        self.arrange();
    }

    /// Filters and sorts.
    pub(super) fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let is_shown = |report: &Report| {
            let mut commands = report.all().iter().filter_map(|one| one.command.as_deref());
            has(&report.address) || has(report.kind) || commands.any(has)
        };
        let shown = (0..self.all.len()).filter(|index| is_shown(&self.all[*index]));
        let mut order: Vec<usize> = shown.collect();
        let rate = |report: &Report| {
            let activity = report.activity.as_ref();
            let rate = activity.and_then(|activity| activity.sent_per_second);
            Reverse(rate.unwrap_or(0.0) as u64)
        };
        let all = &self.all;
        match self.by {
            TopBy::State => order.sort_by_key(|one| Reverse(super::rows::state(&all[*one]).1)),
            TopBy::Fill => order.sort_by_key(|one| Reverse(fill(&all[*one]).unwrap_or(0))),
            TopBy::Rate => order.sort_by_key(|one| rate(&all[*one])),
            TopBy::Lag => order.sort_by_key(|one| Reverse(all[*one].lag())),
            TopBy::Address => order.sort_by(|a, b| all[*a].address.cmp(&all[*b].address)),
        }
        self.order = order;
        let is_there = |address: &String| self.position(address).is_some();
        let keeps = self.is_chosen && self.selected.as_ref().is_some_and(is_there);
        if !keeps {
            self.is_chosen = false;
            let first = self
                .order
                .first()
                .map(|first| self.all[*first].address.clone());
            self.selected = first;
            // What was shown in full has gone.
            if self.page == Page::Detail {
                self.page = Page::List;
            }
        }
    }

    /// Shows the selected one in full.
    pub(super) fn open(&mut self) {
        if self.selected.is_some() {
            (self.page, self.is_chosen) = (Page::Detail, true);
        }
    }

    fn position(&self, address: &str) -> Option<usize> {
        let mut order = self.order.iter();
        order.position(|index| self.all[*index].address == address)
    }

    /// Selects the one so many lines further down.
    pub(super) fn step(&mut self, by: isize) {
        let Some(last) = self.order.len().checked_sub(1) else {
            return;
        };
        let at = self.selected_row().unwrap_or(0);
        let to = at.saturating_add_signed(by).min(last);
        self.selected = Some(self.all[self.order[to]].address.clone());
        self.is_chosen = true;
    }

    pub(super) fn selected_row(&self) -> Option<usize> {
        self.position(self.selected.as_deref()?)
    }

    pub(super) fn selected(&self) -> Option<&Report> {
        Some(&self.all[self.order[self.selected_row()?]])
    }

    pub(super) fn history(&self, report: &Report) -> Option<&History> {
        self.histories.get(&report.address)
    }

    /// What is shown, in its order.
    pub(super) fn shown(&self) -> Vec<&Report> {
        self.order.iter().map(|index| &self.all[*index]).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }
}

fn push(history: &mut VecDeque<u64>, rate: Option<f64>) {
    history.push_back(rate.unwrap_or(0.0).round() as u64);
    if history.len() > HISTORY {
        history.pop_front();
    }
}

/// How full it is, in percent; `None` of what has no end.
pub(super) fn fill(report: &Report) -> Option<u64> {
    let percent = |used: u64, of: u64| (used as f64 * 100.0 / of.max(1) as f64).min(100.0) as u64;
    match (report.max_messages, report.capacity_bytes) {
        (Some(most), _) => Some(percent(report.messages.unwrap_or(0), most)),
        (None, Some(capacity)) => Some(percent(report.used_bytes, capacity)),
        (None, None) => None,
    }
}
