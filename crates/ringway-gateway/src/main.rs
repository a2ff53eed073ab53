//! The command `ringway-gateway`.

use std::path::Path;
use std::process::ExitCode;

use ringway_gateway::check::{self, Finding};
use ringway_gateway::config::Config;
use ringway_gateway::engine::Trouble;
use ringway_gateway::run;

const USAGE: &str = "\
Carries messages between the rings of this machine and NATS JetStream, each once and in order.

    ringway-gateway run CONFIG
        Carries messages until SIGTERM, SIGINT or SIGHUP. Waits for the server, and for streams, that are not there yet.

    ringway-gateway check CONFIG
        Says whether the configuration and the live server fit, and what is missing. Exits with 1 if something is.

    ringway-gateway create CONFIG
        Makes the streams of outward routes that are not there.

CONFIG is a TOML file; crates/ringway-gateway/README.md has one.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["run", path] => perform(path, async |config| {
            run::gateway(config).await.map(|()| Vec::new())
        }),
        ["check", path] => perform(path, async |config| check::check(config).await),
        ["create", path] => perform(path, async |config| check::create(config).await),
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["--version" | "-V"] => {
            println!("ringway-gateway {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("ringway-gateway: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Does it, and shows what was found. `false`: something is missing.
fn perform(
    path: &str,
    act: impl AsyncFnOnce(&Config) -> Result<Vec<Finding>, Trouble>,
) -> Result<bool, Trouble> {
    let config = Config::load(Path::new(path))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Trouble::lasting)?;
    let local = tokio::task::LocalSet::new();
    let findings = local.block_on(&runtime, act(&config))?;
    let mut good = true;
    for finding in findings {
        let (word, text) = match finding {
            Finding::Good(text) => ("good", text),
            Finding::Note(text) => ("note", text),
            Finding::Bad(text) => {
                good = false;
                ("bad ", text)
            }
        };
        println!("{word}  {text}");
    }
    Ok(good)
}
