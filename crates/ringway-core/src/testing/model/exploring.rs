//! How far loom goes.

use loom::model::Builder;

/// Explores every interleaving with as many preemptions as asked for, 3 if nobody says, less `relief`: for models with many
/// threads or steps.
pub(crate) fn explorer(relief: usize) -> Builder {
    let mut builder = Builder::new();
    let bound = builder.preemption_bound.unwrap_or(3);
    builder.preemption_bound = Some(bound.saturating_sub(relief).max(1));
    builder
}
