//! Deaths of a model's processes.

use std::panic;
use std::sync::atomic::AtomicBool;

use loom::sync::atomic::Ordering;

/// What a process's death unwinds with.
pub(super) struct Death;

/// Runs what a process does until it is done or [dies](super::Model::dies_after); whether it lived on.
pub(crate) fn lives<T>(process: impl FnOnce() -> T) -> bool {
    match panic::catch_unwind(panic::AssertUnwindSafe(process)) {
        Ok(_) => true,
        Err(panic) if panic.is::<Death>() => false,
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Checks a model for the death after each change that its victim makes. The model says whether the victim
/// lived, given the number of changes that it may make.
pub(crate) fn at_every_change(
    check: impl Fn(Box<dyn Fn() + Sync + Send>),
    model: impl Fn(u32) -> bool + Sync + Send + 'static,
) {
    let model = std::sync::Arc::new(model);
    for changes in 0.. {
        let died = std::sync::Arc::new(AtomicBool::new(false));
        let (model, seen) = (model.clone(), died.clone());
        check(Box::new(move || {
            if !model(changes) {
                seen.store(true, Ordering::Relaxed);
            }
        }));
        if !died.load(Ordering::Relaxed) {
            assert!(changes > 0, "nobody died");
            return;
        }
    }
}
