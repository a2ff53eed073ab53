//! How a handle is reached from outside of its calls: a wait of it is ended.

use std::fmt;
use std::sync::Arc;

use crate::memory::map::Map;
use crate::memory::region::memory::Memory;
use crate::presence::watcher::Alarm;
use crate::waiting::interrupt::{Interrupter, Interruptible};

/// What is to be known of a handle for that.
pub(crate) struct Reach {
    map: Arc<Map>,
    /// What it sleeps on.
    event: usize,
    /// Wakes it.
    alarm: Alarm,
    /// Once somebody may end its waits.
    interruptible: Option<Interruptible>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("event", &self.event)
            .field("interruptible", &self.interruptible)
            .finish_non_exhaustive()
    }
}

impl Reach {
    pub(crate) fn new(map: &Arc<Map>, event: usize, alarm: Alarm) -> Self {
        Self {
            map: Arc::clone(map),
            event,
            alarm,
            interruptible: None,
        }
    }

    /// Who can end the waits of the handle, whose memory `region` is.
    pub(crate) fn interrupter(&mut self, region: &Memory) -> Interrupter {
        let (alarm, map) = (&self.alarm, &self.map);
        let made = self.interruptible.get_or_insert_with(|| {
            let made = Interruptible::new(Arc::clone(alarm), map.origin());
            region.heed(made.flag());
            made
        });
        made.interrupter()
    }

    /// The handle ends: it is not reached any more. Before it leaves its slot, which then is another one's to wake.
    pub(crate) fn end(&mut self) {
        self.interruptible = None;
    }
}
