use clap::Args;

#[derive(Args)]
pub(crate) struct Options {}

#[derive(Args)]
pub(crate) struct VictimOptions {}

pub(crate) fn run(_: Options) -> Result<(), String> {
    Err("nothing here yet".to_owned())
}

pub(crate) fn play_victim(_: VictimOptions) -> Result<(), String> {
    Err("nothing here yet".to_owned())
}
