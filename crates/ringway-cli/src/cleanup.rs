//! Leaving no ring and no queue behind, however a demo or a bench ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway::{Address, Builder, Channel};

use crate::failure::Failure;
use crate::say::say;
use crate::signals;

/// Addresses that are removed when this is dropped, and when the process is told to end.
pub(crate) struct Cleanup {
    addresses: Arc<Mutex<Vec<Address>>>,
}

impl Cleanup {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn new() -> Result<Self, Failure> {
        let addresses = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&addresses);
        signals::take_over(move || {
            let mut addresses = lock(&shared);
            remove_all(&mut addresses);
            // Held until the end: nothing is made meanwhile.
            std::mem::forget(addresses);
        })?;
        Ok(Self { addresses })
    }

    /// Makes a ring or a queue and takes charge of its address.
    pub(crate) fn create(&self, builder: Builder) -> Result<Channel, Failure> {
        // Held while it is made, so that no signal comes in between.
        let mut addresses = lock(&self.addresses);
        // Nobody but this command's own processes takes part.
        let channel = Channel::create(builder.trust_peers(true))?;
        addresses.push(channel.address().clone());
        Ok(channel)
    }

    /// What `auto:` is for such a ring on this machine now, which it says; any other address as it is.
    pub(crate) fn choose(&self, builder: Builder) -> Result<Address, Failure> {
        let Address::Auto(_) = builder.address() else {
            return Ok(builder.address().clone());
        };
        let channel = self.create(builder)?;
        say(&channel);
        self.remove(channel.address());
        Ok(channel.address().clone())
    }

    /// Removes one address now.
    pub(crate) fn remove(&self, address: &Address) {
        let mut addresses = lock(&self.addresses);
        if let Some(index) = addresses.iter().position(|known| known == address) {
            remove(&addresses.swap_remove(index));
        }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        remove_all(&mut lock(&self.addresses));
    }
}

fn lock(addresses: &Mutex<Vec<Address>>) -> MutexGuard<'_, Vec<Address>> {
    addresses.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove_all(addresses: &mut Vec<Address>) {
    addresses.drain(..).for_each(|address| remove(&address));
}

fn remove(address: &Address) {
    if *address == Address::Memfd {
        return;
    }
    if let Err(error) = Channel::remove(address, true) {
        say(error);
    }
}
