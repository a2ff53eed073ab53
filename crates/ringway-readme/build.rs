//! Makes a function of each snippet in README.md.

#[path = "src/blocks.rs"]
mod blocks;

use std::fmt::Write;
use std::path::PathBuf;

fn main() {
    let variable = |name| PathBuf::from(std::env::var_os(name).expect("cargo says so"));
    let readme = variable("CARGO_MANIFEST_DIR").join("../../README.md");
    println!("cargo::rerun-if-changed={}", readme.display());
    println!("cargo::rerun-if-changed=src/blocks.rs");
    let document = std::fs::read_to_string(&readme).expect("the document");
    let mut code = "type Snippet = fn() -> Result<(), Box<dyn std::error::Error>>;\n\n".to_owned();
    let snippets = blocks::blocks(&document, "rust");
    for (number, snippet) in snippets.iter().enumerate() {
        // Who reads the document does not have the lines that `rustdoc` would hide.
        let shown: String = snippet
            .lines()
            .filter(|line| !line.starts_with("# "))
            .map(|line| format!("    {line}\n"))
            .collect();
        writeln!(
            code,
            "#[allow(unused)]\nfn snippet_{number}() -> Result<(), Box<dyn std::error::Error>> {{\n{shown}    Ok(())\n}}\n"
        )
        .expect("memory");
    }
    writeln!(code, "const SNIPPETS: &[Snippet] = &[").expect("memory");
    for number in 0..snippets.len() {
        writeln!(code, "    snippet_{number},").expect("memory");
    }
    writeln!(code, "];").expect("memory");
    std::fs::write(variable("OUT_DIR").join("snippets.rs"), code).expect("room for the code");
}
