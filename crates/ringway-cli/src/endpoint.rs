//! What `join` can join, as the command line names it.

use std::fmt;
use std::path::PathBuf;

use ringway::Address;

/// One end of a join.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// A ring, a queue or a log.
    Channel(Address),
    /// Standard input or output.
    Standard,
    /// A named pipe.
    Fifo(PathBuf),
    /// A file that grows.
    Tail { path: PathBuf, from_end: bool },
    /// A socket.
    Socket(Socket),
}

/// A socket: of which kind, where, and whether to listen there.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) kind: SocketKind,
    /// A path, or HOST:PORT.
    pub(crate) at: String,
    pub(crate) listen: bool,
}

/// What a socket carries, and between whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    Tcp,
    Udp,
    Unix,
    UnixDgram,
    UnixSeqpacket,
}

impl SocketKind {
    const ALL: [(&'static str, Self); 5] = [
        ("tcp", Self::Tcp),
        ("udp", Self::Udp),
        ("unix", Self::Unix),
        ("unix-dgram", Self::UnixDgram),
        ("unix-seqpacket", Self::UnixSeqpacket),
    ];

    fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, kind)| *kind == self);
        named.map_or("", |(name, _)| name)
    }

    /// Whether it keeps messages apart.
    pub(crate) fn has_packets(self) -> bool {
        !matches!(self, Self::Tcp | Self::Unix)
    }

    /// Whether there are connections.
    pub(crate) fn is_connected(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix | Self::UnixSeqpacket)
    }
}

impl Endpoint {
    /// Reads what the command line says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Standard);
        }
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = SocketKind::ALL.iter().find(|(name, _)| *name == scheme);
        match (scheme, kind) {
            ("fifo" | "tail", _) | (_, Some(_)) if rest.is_empty() => {
                Err(format!("say where, as in {scheme}:{}", example(scheme)))
            }
            ("fifo", _) => Ok(Self::Fifo(rest.into())),
            ("tail", _) => {
                let from_end = rest.strip_suffix(",end");
                Ok(Self::Tail {
                    path: from_end.unwrap_or(rest).into(),
                    from_end: from_end.is_some(),
                })
            }
            (_, Some(&(_, kind))) => {
                let at = rest.strip_suffix(",listen");
                let listen = at.is_some();
                let at = at.unwrap_or(rest).to_owned();
                if listen && !kind.is_connected() {
                    return Err(format!(
                        "{scheme} has no connections: it receives at that address as FROM, and sends there as TO"
                    ));
                }
                if matches!(kind, SocketKind::Tcp | SocketKind::Udp) && !has_port(&at) {
                    return Err(format!("{at} has no port: write HOST:PORT, as in localhost:7000"));
                }
                Ok(Self::Socket(Socket { kind, at, listen }))
            }
            _ => text.parse().map(Self::Channel).map_err(|error: ringway::Error| {
                format!("{error}; or one of -, fifo:, tail:, tcp:, udp:, unix:, unix-dgram:, unix-seqpacket:")
            }),
        }
    }

    /// Whether messages stay apart there without any framing.
    pub(crate) fn has_packets(&self) -> bool {
        match self {
            Self::Channel(_) => true,
            Self::Socket(socket) => socket.kind.has_packets(),
            Self::Standard | Self::Fifo(_) | Self::Tail { .. } => false,
        }
    }
}

fn example(scheme: &str) -> &'static str {
    match scheme {
        "tcp" | "udp" => "localhost:7000",
        _ => "/run/orders",
    }
}

fn has_port(at: &str) -> bool {
    at.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(address) => address.fmt(f),
            Self::Standard => f.write_str("-"),
            Self::Fifo(path) => write!(f, "fifo:{}", path.display()),
            Self::Tail { path, .. } => write!(f, "tail:{}", path.display()),
            Self::Socket(socket) => socket.fmt(f),
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_joined_is_read() {
        for (text, packets) in [
            ("-", false),
            ("fifo:/tmp/pipe", false),
            ("tail:/var/log/messages", false),
            ("tail:/var/log/messages,end", false),
            ("tcp:localhost:7000", false),
            ("tcp:[::1]:7000,listen", false),
            ("udp:127.0.0.1:7000", true),
            ("unix:/run/orders,listen", false),
            ("unix-dgram:/run/orders", true),
            ("unix-seqpacket:/run/orders", true),
            ("shm:orders", true),
            ("mq:/orders", true),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.has_packets(), packets, "{text}");
            let shown = endpoint.to_string();
            assert!(text.starts_with(&shown), "{text} is shown as {shown}");
        }
        for wrong in [
            "",
            "tcp:",
            "tcp:7000",
            "tcp:localhost:port",
            "udp:localhost:7000,listen",
            "unix-dgram:/run/orders,listen",
            "fifo:",
            "nonsense:x",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
