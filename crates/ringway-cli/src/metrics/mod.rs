//! `ringway metrics`: what there is, as Prometheus and its like read it. Nothing is counted here: the counters are in the segments, and
//! are read when somebody asks.

mod families;
mod serve;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
use ringway::os::Name;

use crate::cli::MetricsArgs;
use crate::failure::Failure;
use crate::{observe, output};

/// What is looked at whenever somebody asks.
#[derive(Debug)]
struct Machine {
    files: Vec<PathBuf>,
}

impl Collector for Machine {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let begun = Instant::now();
        let found = observe::all(&self.files);
        families::encode(encoder, &found, begun)
    }
}

/// In which words.
#[derive(Clone, Copy)]
enum Format {
    OpenMetrics,
    /// Which the textfile collector of the node exporter reads.
    Prometheus,
}

fn encode(registry: &Registry, format: Format) -> Result<String, Failure> {
    let mut written = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut written, registry),
        Format::Prometheus => prometheus_text::encode(&mut written, registry),
    }
    .map_err(Failure::error)?;
    Ok(written)
}

pub(crate) fn run(args: &MetricsArgs) -> Result<(), Failure> {
    for file in &args.files {
        // A word that is wrong for ever is told at once; what goes later is told by `ringway_look_failures`.
        file_is_there(file)?;
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Machine {
        files: args.files.clone(),
    }));
    match (args.listen, &args.textfile) {
        (Some(address), _) => serve::run(address, &registry),
        (None, Some(path)) => replace(path, &encode(&registry, Format::Prometheus)?),
        (None, None) => output::print(&encode(&registry, Format::OpenMetrics)?),
    }
}

fn file_is_there(file: &Path) -> Result<(), Failure> {
    let text = file.to_string_lossy();
    let is_address = ["file:", "log:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_address || file.exists() {
        return Ok(());
    }
    let name = Name::of(file);
    Err(Failure::negative(format_args!("{name} is not there")))
}

/// Puts a file in the place of another one, so that who reads it has the old one or the new one, whole.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut new = path.as_os_str().to_owned();
    // Readers of a directory of such files look for names that end with `.prom`.
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    let outcome = fs::write(&new, text)
        // Whoever collects is another user.
        .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&new, path));
    outcome.map_err(|error| {
        let _ = fs::remove_file(&new);
        let name = Name::of(path);
        Failure::error(format_args!("cannot write {name}: {error}"))
    })
}
