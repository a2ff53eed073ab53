//! Runs one of README.md's snippets: `ringway-readme 2` the third. Without a number it says how many there are.

include!(concat!(env!("OUT_DIR"), "/snippets.rs"));

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        Some(number) => SNIPPETS[number.parse::<usize>()?](),
        None => {
            println!("{}", SNIPPETS.len());
            Ok(())
        }
    }
}
