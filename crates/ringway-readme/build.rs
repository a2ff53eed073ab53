//! Makes a function of each snippet in README.md and in the chapters of the book.

#[path = "src/blocks.rs"]
mod blocks;

use std::fmt::Write;
use std::path::PathBuf;

fn main() {
    let variable = |name| PathBuf::from(std::env::var_os(name).expect("cargo says so"));
    let root = variable("CARGO_MANIFEST_DIR").join("../..");
    let mut documents = vec![root.join("README.md")];
    // A folder changes when a chapter comes or goes.
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    for entry in std::fs::read_dir(root.join("docs")).expect("the book") {
        let path = entry.expect("the book").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents[1..].sort();
    println!("cargo::rerun-if-changed=src/blocks.rs");

    let mut code = "type Snippet = fn() -> Result<(), Box<dyn std::error::Error>>;\n\n".to_owned();
    let mut table = String::new();
    for (at, path) in documents.iter().enumerate() {
        println!("cargo::rerun-if-changed={}", path.display());
        let document = std::fs::read_to_string(path).expect("the document");
        // A whole program that a reader writes into a file has its own test. Ignored are programs of `examples/`, and of others.
        let snippets = blocks::all(&document).into_iter().filter(|block| {
            block.info.split(',').next() == Some("rust")
                && !block.info.contains("file=")
                && !block.info.contains("ignore")
        });
        let name = path.strip_prefix(&root).expect("in the root").display();
        write!(table, "    (\"{name}\", &[").expect("memory");
        for (number, block) in snippets.enumerate() {
            // Who reads the document does not have the lines that `rustdoc` would hide.
            let shown: String = block
                .text
                .lines()
                .filter(|line| !line.starts_with("# "))
                .map(|line| format!("    {line}\n"))
                .collect();
            writeln!(
                code,
                "#[allow(unused)]\nfn snippet_{at}_{number}() -> Result<(), Box<dyn std::error::Error>> {{\n{shown}    Ok(())\n}}\n"
            )
            .expect("memory");
            write!(table, "snippet_{at}_{number}, ").expect("memory");
        }
        writeln!(table, "]),").expect("memory");
    }
    writeln!(
        code,
        "const SNIPPETS: &[(&str, &[Snippet])] = &[\n{table}];"
    )
    .expect("memory");
    std::fs::write(variable("OUT_DIR").join("snippets.rs"), code).expect("room for the code");
}
