//! What no real queue does.

use super::*;
use crate::frame::SenderNumber;

/// A queue into which somebody puts, without end, what is no message.
#[derive(Debug)]
struct Flood(Got);

impl Inlet for Flood {
    fn get(&mut self, _: &mut Vec<u8>) -> Result<Got, Broken> {
        Ok(self.0)
    }
    fn sleep(&mut self, _: &mut Vec<u8>, _: Option<Instant>) -> Result<Got, Broken> {
        Ok(self.0)
    }
    fn note(&mut self, _: &Header) {}
    fn peer(&mut self, _: bool) -> Peer {
        Peer::Alive
    }
    fn is_attached(&self, _: SenderNumber) -> Option<bool> {
        None
    }
    fn capacity(&self) -> Option<u64> {
        None
    }
    fn sleep_for_peer(&mut self, _: Option<Instant>) -> Result<(), Broken> {
        Ok(())
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn depart(&mut self, _: Departure) {}
}

#[test]
fn a_flood_of_what_is_no_message_keeps_nobody_beyond_the_deadline() {
    let foreign = Taken {
        len: 4,
        priority: 0,
    };
    for got in [Got::Frame(foreign), Got::Notice] {
        let mut receiver = QueueReceiver::new(Box::new(Flood(got)), 64, Origin::here().unwrap());
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        let soon = Instant::now() + std::time::Duration::from_millis(1);
        assert_eq!(receiver.recv_deadline(soon), Err(RecvError::TimedOut));
        assert!(Instant::now() >= soon);
    }
}
