//! The words of the processes that `demo` and `bench` start. Hidden: nobody types them.

use clap::{Args, ValueEnum};
use ringway::{Address, WaitStrategy};

use super::slabs::CopyArgs;

/// What a worker of a demo does.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoWorkerArgs {
    pub(crate) role: WorkerRole,
    #[arg(long)]
    pub(crate) messages: u64,
    #[arg(long)]
    pub(crate) size: usize,
    /// When to start, in nanoseconds of the monotonic clock, which all processes share.
    #[arg(long)]
    pub(crate) start_ns: u64,
    #[arg(long)]
    pub(crate) core: Option<usize>,
    /// Of one of several producers: which it is, from 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) producer: u64,
    /// Of one of several consumers: how many producers there are.
    #[arg(long, default_value_t = 1)]
    pub(crate) producers: u64,
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
    /// The rings or queues, there and back; none if standard input and output are the transport.
    pub(crate) channels: Vec<Address>,
}

/// What one of the processes of a demo is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WorkerRole {
    /// Sends all messages one after the other.
    Producer,
    /// Receives them.
    Consumer,
    /// Sends a message, waits for the answer, and so on.
    Caller,
    /// Answers.
    Answerer,
    /// Sends all messages of one of several producers.
    OneOfProducers,
    /// Receives a share of all messages.
    OneOfConsumers,
}

/// How a bench waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// Never sleep
    Spin,
    /// Spin for a while, then sleep
    Adaptive,
    /// Sleep at once
    Park,
}

impl Strategy {
    pub(crate) fn wait(self) -> WaitStrategy {
        match self {
            Self::Spin => WaitStrategy::Spin,
            Self::Adaptive => WaitStrategy::default(),
            Self::Park => WaitStrategy::Park,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Adaptive => "adaptive",
            Self::Park => "park",
        }
    }
}

/// What the other process of a bench works on.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchWorkerArgs {
    #[arg(long)]
    pub(crate) size: usize,
    #[arg(long, value_enum)]
    pub(crate) wait_strategy: Strategy,
    #[arg(long)]
    pub(crate) core: Option<usize>,
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
    /// The rings or queues, there and back.
    pub(crate) channels: Vec<Address>,
}
