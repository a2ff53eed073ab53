//! The words of `top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::units;

/// Watch all rings, boards, services, queues and logs of this machine
///
/// In a terminal: a line for each, with how full it is, messages in and out a second, how far the slowest is behind, and what is
/// wrong: a producer that is blocked and for how long, who died, who is stopped. Enter shows one in full, with who holds whom up. Elsewhere, and with
/// --once or --json, it writes text. It takes no part in anything, and writes nothing to a segment.
#[derive(Args, Debug)]
#[command(after_help = TOP_HELP)]
pub(crate) struct TopArgs {
    /// How often to look
    #[arg(short = 'd', long, value_name = "DURATION", value_parser = units::duration, default_value = "1")]
    pub(crate) interval: Duration,

    /// Look once, and write what there is
    #[arg(long, conflicts_with = "iterations")]
    pub(crate) once: bool,

    /// Look so often, and end
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) iterations: Option<u64>,

    /// Write a line of JSON for each look, as ringway ls --json does
    #[arg(short, long)]
    pub(crate) json: bool,

    /// What comes first
    #[arg(long, value_enum, default_value = "state")]
    pub(crate) by: TopBy,

    /// Only what has TEXT in its address or kind, or in the name of a process's command
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,

    /// File rings and logs, or directories to look for them in
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// What comes first on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopBy {
    /// What is in trouble
    State,
    /// The fullest
    Fill,
    /// The one with the most messages a second
    Rate,
    /// The one with the most messages that somebody has not had
    Lag,
    /// By address
    Address,
}

impl TopBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Fill => "fill",
            Self::Rate => "rate",
            Self::Lag => "lag",
            Self::Address => "address",
        }
    }

    pub(crate) fn next(self) -> Self {
        match self {
            Self::State => Self::Fill,
            Self::Fill => Self::Rate,
            Self::Rate => Self::Lag,
            Self::Lag => Self::Address,
            Self::Address => Self::State,
        }
    }
}

const TOP_HELP: &str = "\
Exit status:
  0  ended by a key, or after the last look
  2  an error: the terminal cannot be used

Examples:
  ringway top
  ringway top --once --by lag
  ringway top --json --iterations 60 > minute.jsonl";
