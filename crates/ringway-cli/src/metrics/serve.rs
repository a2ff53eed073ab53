//! What scrapers ask by HTTP: as little of it as they need. A request is answered and the connection ends; who asks slowly is
//! given up, and who asks for much at once waits for a place, so nobody who connects keeps others from being answered for long, or makes this
//! process large.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use super::{Format, encode};
use crate::failure::Failure;
use crate::say::say;

/// How long a whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request.
const LONGEST: usize = 8 << 10;
/// How many are answered at the same time.
const WORKERS: usize = 4;

pub(super) fn run(address: SocketAddr, registry: &Registry) -> Result<(), Failure> {
    let unusable = |error| Failure::error(format_args!("cannot listen at {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(unusable)?;
    let at = listener.local_addr().map_err(unusable)?;
    say(format_args!("metrics are at http://{at}/metrics"));
    // Two that look at the same time see the same twice; one after the other is as good.
    let registry = Mutex::new(registry);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| scope.spawn(|| work(&listener, &registry)))
            .collect();
        let mut outcomes = workers.into_iter().map(|worker| worker.join());
        // They end only by an error of the listener.
        match outcomes.next() {
            Some(Ok(error)) => Err(unusable(error)),
            _ => Ok(()),
        }
    })
}

fn work(listener: &TcpListener, registry: &Mutex<&Registry>) -> std::io::Error {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Whoever asked has gone: nobody is to be told.
                let _ = answer(stream, registry);
            }
            Err(error) => match error.kind() {
                ErrorKind::InvalidInput => return error,
                // Out of descriptors, or who came has gone.
                _ => thread::sleep(Duration::from_millis(50)),
            },
        }
    }
}

/// A status, a type and a text.
type Answer = (&'static str, &'static str, String);

const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn answer(mut stream: TcpStream, registry: &Mutex<&Registry>) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let Some(head) = head(&mut stream, until)? else {
        return Ok(());
    };
    let (method, path) = words(&head);
    let (status, kind, body) = respond(method, path, registry);
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        response.push_str(&body);
    }
    let mut left = response.as_bytes();
    while !left.is_empty() {
        stream.set_write_timeout(Some(remaining(until)?))?;
        match stream.write(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn respond(method: &str, path: &str, registry: &Mutex<&Registry>) -> Answer {
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET" | "HEAD", "/metrics") => {
            let registry = registry.lock().unwrap_or_else(|poison| poison.into_inner());
            match encode(&registry, Format::OpenMetrics) {
                Ok(text) => ("200 OK", OPEN_METRICS, text),
                Err(_) => {
                    let text = "the figures cannot be written\n".to_owned();
                    ("500 Internal Server Error", PLAIN, text)
                }
            }
        }
        ("GET" | "HEAD", "/") => ("200 OK", PLAIN, "ringway: see /metrics\n".to_owned()),
        ("GET" | "HEAD", _) => ("404 Not Found", PLAIN, "see /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", PLAIN, "only GET\n".to_owned()),
    }
}

/// The method and the path of a request.
fn words(head: &[u8]) -> (&str, &str) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    )
}

/// All up to the empty line; `None` if that does not come.
fn head(stream: &mut TcpStream, until: Instant) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while head.len() < LONGEST {
        stream.set_read_timeout(Some(remaining(until)?))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(None),
            Ok(read) => head.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// How long there is; never zero, which would be for ever.
fn remaining(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}
