//! The words of `completions`, and of what makes the manual.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Write what makes a shell complete ringway's commands and options
#[derive(Args, Debug)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write the pages of the manual
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Into which directory
    pub(crate) directory: PathBuf,
}

const COMPLETIONS_HELP: &str = "\
Exit status:
  0  written

Examples:
  ringway completions bash > ~/.local/share/bash-completion/completions/ringway
  ringway completions zsh > ~/.zfunc/_ringway
  ringway completions fish > ~/.config/fish/completions/ringway.fish";
