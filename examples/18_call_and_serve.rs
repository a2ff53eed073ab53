//! Call and serve: two processes serve at one address, others call, and servers are killed meanwhile.
//!
//!     cargo run --release --example 18_call_and_serve
//!
//! The calls are made at least once: whose server dies is served by the next one, which is told so.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

const SERVERS: usize = 2;
const CALLS: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, address] if role == "serve" => return serve(address),
        [_, address] => return call(address),
        _ => {}
    }
    let address = format!("shm:service-{}", std::process::id());
    let mut servers = (0..SERVERS)
        .map(|_| start("serve", &address))
        .collect::<Result<Vec<_>, _>>()?;
    let mut clients = [start("call", &address)?, start("call", &address)?];
    let mut deaths = 0;
    while clients
        .iter_mut()
        .any(|client| matches!(client.try_wait(), Ok(None)))
    {
        // One after the other is killed, at whatever instruction, and started again.
        let server = &mut servers[deaths % SERVERS];
        server.kill()?;
        server.wait()?;
        *server = start("serve", &address)?;
        deaths += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{deaths} deaths of servers");
    for mut server in servers {
        server.kill()?;
        server.wait()?;
    }
    ringway::remove(&address.parse()?, true)?;
    Ok(())
}

fn start(role: &str, address: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([role, address])
        .spawn()
}

fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let mut server = ringway::serve(address)?.start()?;
    loop {
        let request = server.next()?;
        let number = u64::from_le_bytes(request.body().try_into()?);
        let answer = (number * number).to_le_bytes();
        if let Err(error) = request.answer(&answer) {
            println!("{error}");
        }
    }
}

fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let mut client = ringway::connect(address)?
        .at_least_once()
        .wait(Duration::from_secs(10))
        .grace(Duration::from_secs(10))
        .open()?;
    for number in 0..CALLS {
        let answer = client.call(&number.to_le_bytes())?;
        assert_eq!(answer, (number * number).to_le_bytes());
    }
    println!("{CALLS} calls, each answered");
    Ok(())
}
