//! `join`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::log::{ReadLogArgs, WriteLogArgs};
use super::subscription::SubscriptionArgs;
use super::transfer::{HowArgs, IntakeArgs};
use crate::endpoint::Endpoint;
use crate::framing::Framing;
use crate::units;

/// What a message is, where bytes come in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinFraming {
    /// A line, without its newline
    Lines,
    /// Bytes with their length before them: 32 bits, little-endian
    Frames,
    /// A block of bytes, of whatever size they come in
    Raw,
    /// A datagram, where both sides have such
    Datagrams,
}

impl JoinFraming {
    /// Whether it is for streams of bytes.
    pub(crate) fn is_of_bytes(self) -> bool {
        self != Self::Datagrams
    }

    /// The same for streams of bytes.
    pub(crate) fn of_bytes(self) -> Framing {
        match self {
            Self::Lines => Framing::LINES,
            Self::Frames => Framing::Frames,
            Self::Raw | Self::Datagrams => Framing::Raw,
        }
    }
}

/// Pass messages on from one place to another: rings, queues, logs, pipes, sockets, files
///
/// FROM and TO are each one of:
///   shm:NAME, file:PATH, sysv:..., mq:/NAME, sysvmq:..., auto:NAME    a ring or a queue
///   log:DIR                  a log; FROM it takes nothing away, and goes on where --name says
///   -                        standard input, standard output
///   fifo:PATH                a named pipe
///   tail:PATH                only FROM: a file as it grows, from its beginning on, also when another one gets its
///                            name (tail -F); tail:PATH,end from its end on
///   tcp:HOST:PORT, unix:PATH, unix-seqpacket:PATH
///                            connects there; with ,listen behind it listens there
///   udp:HOST:PORT, unix-dgram:PATH
///                            as FROM receives what is sent there, as TO sends there
///
/// What cannot be written yet is not read, as far as the other side can be held up: a full ring holds up a socket, and a peer that does
/// not read holds up a ring. A connection that cannot be made, or is lost, is made again, after pauses that grow to 2
/// seconds. Where clients connect (,listen), messages of all of them are passed on, each whole; and as TO each message goes to one
/// of them, in turn, as the receivers of a ring share its messages.
#[derive(Args, Debug)]
#[command(after_help = JOIN_HELP, verbatim_doc_comment)]
pub(crate) struct JoinArgs {
    /// Where messages come from
    #[arg(id = "join_from", value_name = "FROM", value_parser = Endpoint::parse)]
    pub(crate) from: Endpoint,

    /// Where they go
    #[arg(id = "join_to", value_name = "TO", value_parser = Endpoint::parse)]
    pub(crate) to: Endpoint,

    /// What a message is, where bytes come in a stream [default: lines]
    #[arg(long, value_enum)]
    pub(crate) framing: Option<JoinFraming>,

    /// Go on when FROM has come to an end: with its next sender, client, connection or writer; and with the next
    /// receiver of TO
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// End with status 1 if a connection cannot be made for so long
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) how: HowArgs,

    #[command(flatten)]
    subscription: SubscriptionArgs,

    #[command(flatten)]
    pub(crate) read_log: ReadLogArgs,

    #[command(flatten)]
    pub(crate) log: WriteLogArgs,
}

impl JoinArgs {
    /// Which messages to take from a ring, and when to end.
    pub(crate) fn intake(&self) -> IntakeArgs {
        IntakeArgs {
            unlink: false,
            count: None,
            timeout: None,
            producers: None,
            follow: self.follow,
            subscription: self.subscription.clone(),
        }
    }
}

const JOIN_HELP: &str = "\
What may be lost or repeated:
  FROM a ring          acknowledged when it is written out. A join that is killed repeats what it had written and not yet
                       acknowledged: up to 256 KiB. Nothing is lost
  FROM a log           with --name the same; nothing is lost
  FROM anything else   read before it is written: a join that is killed loses the block that it had read, up to 256 KiB. From
                       udp: the kernel drops what does not fit into its buffer
  FROM a connection    that is lost: a frame that is not complete is left out. A last line without its end is passed on after an end
                       in order, which is how the kernel also tells of a peer that was killed; frames have no such doubt
  TO a ring, a queue, a log
                       nothing is lost; in a log it is as durable as --durability says
  TO fifo:             nothing that nobody has read: the next reader gets it, which may begin within a message
  TO a connection      (tcp:, unix:, unix-seqpacket:) that is lost: what lay in the kernels' buffers and was not read by the peer is
                       lost. The message that was not written to its end comes again, whole, through the next connection
  TO udp:, unix-dgram: udp: promises nothing; of unix-dgram: what a receiver that died had not received is lost
Where that is not enough, let the other side answer: that is what ringway's rings, or a message broker, do.

Exit status:
  0  FROM came to its end in order, and all is written
  1  nothing is there, a sender died before it closed, the receiver died or closed, --timeout passed
  2  an error
  SIGTERM, SIGINT and SIGHUP end it by that signal, when what was read is written

Examples:
  ringway join shm:log tcp:collector:7000
  ringway join tcp:0.0.0.0:7000,listen shm:log --create --follow
  ringway join fifo:/run/commands shm:commands --follow
  ringway join tail:/var/log/syslog shm:log
  ringway join log:/var/lib/orders tcp:collector:7000 --name collector --follow
  ringway join shm:frames unix-seqpacket:/run/frames
  ringway join udp:127.0.0.1:514 shm:syslog
  ringway join - unix:/run/orders,listen --framing raw < orders";
