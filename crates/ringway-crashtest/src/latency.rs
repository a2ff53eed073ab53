use clap::Args;

#[derive(Args)]
pub(crate) struct Options {}

#[derive(Args)]
pub(crate) struct DyingOptions {}

pub(crate) fn run(_: Options) -> Result<(), String> {
    Err("nothing here yet".to_owned())
}

pub(crate) fn play_dying(_: DyingOptions) -> Result<(), String> {
    Err("nothing here yet".to_owned())
}
