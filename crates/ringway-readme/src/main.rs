//! Runs a snippet of README.md or of the book: `ringway-readme README.md 2` the third of README.md. Without arguments it says
//! how many there are in each document.

include!(concat!(env!("OUT_DIR"), "/snippets.rs"));

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [document, number] => {
            let found = SNIPPETS.iter().find(|(name, _)| name == document);
            let (_, snippets) = found.ok_or("there is no such document")?;
            snippets[number.parse::<usize>()?]()
        }
        _ => {
            for (name, snippets) in SNIPPETS {
                println!("{name} {}", snippets.len());
            }
            Ok(())
        }
    }
}
