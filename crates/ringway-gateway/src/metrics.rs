//! What a gateway counts, as OpenMetrics text over HTTP.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The counts of a route, by nobody's leave read by others. (Relaxed: they say nothing about other memory.)
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; NAMES.len()]);

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Messages that were handed to the server.
    Published,
    /// Messages that the server acknowledged to a gateway that waited for it.
    Stored,
    /// Messages that the stream was found to hold already, and so were not published again.
    Resumed,
    /// Messages that were released in the ring.
    Released,
    /// Times that the stream was full.
    Full,
    /// Messages that the server had acknowledged and has no more.
    Lost,
    /// Messages that the server delivered.
    Delivered,
    /// Messages that were sent into the ring.
    Sent,
    /// Deliveries of messages that are in the ring already, and so were not sent again.
    Repeated,
    /// Times that a route began anew: a lost connection, an answer that did not come.
    Disturbances,
}

/// In the order of [`Count`].
const NAMES: [(&str, &str); 10] = [
    ("published", "Messages that were handed to the server"),
    (
        "stored",
        "Messages whose acknowledgement by the server arrived",
    ),
    (
        "resumed",
        "Messages that the stream was found to hold already",
    ),
    ("released", "Messages that were released in the ring"),
    ("full", "Times that the stream was full"),
    (
        "lost_by_server",
        "Messages that the server had acknowledged and has no more",
    ),
    ("delivered", "Deliveries by the server"),
    ("sent", "Messages that were sent into the ring"),
    (
        "repeated",
        "Deliveries of messages that were in the ring already",
    ),
    ("disturbances", "Times that a route began anew"),
];

impl Counters {
    /// Counts.
    pub fn add(&self, count: Count, by: u64) {
        self.0[count as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }
}

/// A route's name, whether it leads out, and its counts.
pub type Route = (String, bool, Arc<Counters>);

/// The counts of all routes.
pub fn text(routes: &[Route]) -> String {
    let mut text = String::new();
    for (index, (name, help)) in NAMES.iter().enumerate() {
        let _ = writeln!(
            text,
            "# TYPE ringway_gateway_{name} counter\n# HELP ringway_gateway_{name} {help}."
        );
        for (route, outward, counters) in routes {
            let direction = if *outward { "outward" } else { "inward" };
            let route = route
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let value = counters.0[index].load(Ordering::Relaxed);
            let _ = writeln!(
                text,
                "ringway_gateway_{name}_total{{route=\"{route}\",direction=\"{direction}\"}} {value}"
            );
        }
    }
    text.push_str("# EOF\n");
    text
}

/// Answers each request with the counts, whatever it asks for.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(address: SocketAddr, routes: Vec<Route>) -> Result<(), String> {
    let cannot = |error| format!("cannot serve metrics at {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of descriptors, perhaps.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let body = text(&routes);
        tokio::task::spawn_local(async move {
            let mut request = [0; 4096];
            let exchange = async {
                // All of a usual request; nobody looks at what it says.
                let _ = stream.read(&mut request).await?;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await?;
                stream.shutdown().await
            };
            // Who asks and does not read is left alone.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), exchange).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_count_of_each_route() {
        let counters = Arc::new(Counters::default());
        counters.add(Count::Lost, 3);
        let text = text(&[("a\"b".to_owned(), true, counters)]);
        assert!(text.contains(
            "ringway_gateway_lost_by_server_total{route=\"a\\\"b\",direction=\"outward\"} 3\n"
        ));
        assert_eq!(text.matches("# TYPE").count(), NAMES.len());
        assert!(text.ends_with("# EOF\n"));
    }
}
