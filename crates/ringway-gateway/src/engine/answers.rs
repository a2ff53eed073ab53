//! Acknowledgements of what is published: a server's answers, which come to one subscription, each under the number of its message.
//!
//! The client's own acknowledgements have a timer, two allocations and an entry in a shared table each. A route waits for its first message only,
//! so here one timer and one queue serve all of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::Stream;
use serde::Deserialize;
use tokio::time::{Instant, Sleep, sleep};

use super::Trouble;

/// Where answers come to.
#[derive(Debug)]
pub(super) struct Answers {
    /// Before the number of a message in the subject of its answer.
    prefix: String,
    inbox: Rc<RefCell<Inbox>>,
}

#[derive(Debug)]
struct Inbox {
    subscriber: Subscriber,
    /// What became of the answers that were asked for, from message `first` on; of the first one nothing yet.
    asked: VecDeque<Slot>,
    first: u64,
    /// Ends when no answer has come for so long, while somebody waits.
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    is_timed: bool,
}

#[derive(Debug)]
enum Slot {
    Awaited,
    Came(Result<u64, Trouble>),
    /// It was taken, or nobody wants it any more.
    Done,
}

impl Answers {
    /// Subscribes. No answer for `patience` is an error.
    pub(super) async fn new(client: &Client, patience: Duration) -> Result<Self, Trouble> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            prefix: inbox,
            inbox: Rc::new(RefCell::new(Inbox {
                subscriber: subscriber.map_err(Trouble::passing)?,
                asked: VecDeque::new(),
                first: 0,
                timer: Box::pin(sleep(patience)),
                patience,
                is_timed: false,
            })),
        })
    }

    /// The subject of an answer, and the answer.
    pub(super) fn ask(&mut self) -> (String, Answer) {
        let inbox = self.inbox.clone();
        let number = inbox.borrow_mut().ask();
        (
            format!("{}.{number}", self.prefix),
            Answer { number, inbox },
        )
    }
}

/// An answer to come: the sequence that the message has in the stream.
pub struct Answer {
    number: u64,
    inbox: Rc<RefCell<Inbox>>,
}

impl Future for Answer {
    type Output = Result<u64, Trouble>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inbox = &mut *self.inbox.borrow_mut();
        loop {
            if let Some(answer) = inbox.came(self.number) {
                return Poll::Ready(answer);
            }
            match Pin::new(&mut inbox.subscriber).poll_next(context) {
                Poll::Ready(Some(message)) => inbox.note(&message),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Trouble::passing("the connection has ended")));
                }
                Poll::Pending => break,
            }
        }
        if !inbox.is_timed {
            inbox.is_timed = true;
            let end = Instant::now() + inbox.patience;
            inbox.timer.as_mut().reset(end);
        }
        ready!(inbox.timer.as_mut().poll(context));
        inbox.is_timed = false;
        Poll::Ready(Err(Trouble::passing("the server has not answered in time")))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.inbox.borrow_mut().take(self.number);
    }
}

impl Inbox {
    fn ask(&mut self) -> u64 {
        self.asked.push_back(Slot::Awaited);
        self.first + self.asked.len() as u64 - 1
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let nth = number.checked_sub(self.first)?;
        self.asked.get_mut(usize::try_from(nth).ok()?)
    }

    /// The answer, if it has come.
    fn came(&mut self, number: u64) -> Option<Result<u64, Trouble>> {
        match self.slot(number)? {
            Slot::Came(_) => self.take(number),
            Slot::Awaited | Slot::Done => None,
        }
    }

    /// Nobody asks for this one any more.
    fn take(&mut self, number: u64) -> Option<Result<u64, Trouble>> {
        let slot = std::mem::replace(self.slot(number)?, Slot::Done);
        while let Some(Slot::Done) = self.asked.front() {
            self.asked.pop_front();
            self.first += 1;
        }
        match slot {
            Slot::Came(answer) => Some(answer),
            Slot::Awaited | Slot::Done => None,
        }
    }

    fn note(&mut self, message: &Message) {
        self.is_timed = false;
        let number = message.subject.rsplit('.').next();
        let number = number.and_then(|number| number.parse().ok());
        // What nobody has asked for is none of ours.
        if let Some(slot @ Slot::Awaited) = number.and_then(|number| self.slot(number)) {
            *slot = Slot::Came(answer(message));
        }
    }
}

/// What a server says of a message.
#[derive(Deserialize)]
struct Said {
    seq: Option<u64>,
    error: Option<jetstream::Error>,
}

fn answer(message: &Message) -> Result<u64, Trouble> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err(Trouble::passing("no stream takes the subject"));
    }
    let said: Said = serde_json::from_slice(&message.payload).map_err(Trouble::passing)?;
    match (said.error, said.seq) {
        (Some(error), _) => Err(super::nats::of_refusal(&error)),
        (None, Some(sequence)) => Ok(sequence),
        (None, None) => Err(Trouble::passing("an answer says nothing")),
    }
}
