//! Hello.

use ringway::*;
fn main() {
    let ring = Builder::new("memfd:").unwrap().create().unwrap();
    let mut tx = ring.sender().unwrap();
    let mut rx = ring.receiver().unwrap();
    let t = std::thread::spawn(move || {
        let mut n = 0;
        loop {
            match rx.recv() {
                Ok(_) => n += 1,
                Err(e) => return (n, e),
            }
        }
    });
    for i in 0..1000000u32 {
        tx.send(&i.to_le_bytes()).unwrap();
    }
    drop(tx);
    println!("{:?}", t.join());
}
