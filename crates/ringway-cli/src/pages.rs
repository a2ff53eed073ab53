//! What a shell and `man` are told about the command line. It is made of the same words as the help.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use ringway::os::Name;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::output;

/// `ringway completions SHELL`
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ringway", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// `ringway man-pages DIR`: a page for the command, and one for each of its commands.
pub(crate) fn manual(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    // What all have in common is said once.
    command.build();
    write(&args.directory, "ringway", command.clone())?;
    for one in command.get_subcommands() {
        if one.is_hide_set() || one.get_name() == "help" {
            continue;
        }
        let name = format!("ringway-{}", one.get_name());
        let page = one.clone().disable_help_subcommand(true);
        write(&args.directory, &name, page)?;
    }
    Ok(())
}

fn write(directory: &Path, name: &str, command: clap::Command) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let page = clap_mangen::Man::new(command)
        .title(name)
        .manual("ringway")
        .source(format!("ringway {version}"));
    let mut text = Vec::new();
    page.render(&mut text).map_err(Failure::error)?;
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, text).map_err(|error| {
        let path = Name::of(&path);
        Failure::error(format_args!("cannot write {path}: {error}"))
    })
}
