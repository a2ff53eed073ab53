//! The words of `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Write figures for Prometheus: once, to a file, or whenever somebody asks
///
/// Figures of all rings, boards, services and queues of this machine, and of the given files and logs, read from the segments at the moment at which
/// they are asked for. Without options they go to standard output as OpenMetrics.
#[derive(Args, Debug)]
#[command(after_help = METRICS_HELP)]
pub(crate) struct MetricsArgs {
    /// Answer at http://ADDRESS/metrics until a signal comes
    ///
    /// There is no password and no encryption: use an address of this machine only, such as 127.0.0.1:9750.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Put a file in place, as the textfile collector of the node exporter reads it
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub(crate) textfile: Option<PathBuf>,

    /// File rings and logs, or directories to look for them in
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

const METRICS_HELP: &str = "\
Exit status:
  0  written
  1  a given FILE does not exist
  2  an error: nothing can be written there, or the address is taken

Examples:
  ringway metrics --listen 127.0.0.1:9750
  ringway metrics --textfile /var/lib/prometheus/node-exporter/ringway.prom
  ringway metrics | grep lag";
