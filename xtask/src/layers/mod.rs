//! Imports run one way: from the rooms that stand above to those below.
//!
//! The order stands in ARCHITECTURE.md, in a block of code named `layers`, and nowhere else. A line of it says
//! where modules are (a crate, or a room in one; or `packages`), and which may use which:
//!
//! ```text
//! crates/ringway-core/src: api -> store | rings -> address, error -> sys
//! ```
//!
//! `->` separates floors, from top to bottom; `|` rooms of one floor, which do not know each other; and `,` modules of
//! one room, which may. Code may use its own room and all rooms of lower floors. The root (`lib.rs`, `main.rs`, of a room `mod.rs`) may use
//! everything, and nobody may use what only the root has. Code that is compiled for tests alone may use everything,
//! as tests play the part of users.

mod imports;
mod order;
mod packages;

use std::path::Path;

use order::Order;

/// `cargo xtask layers`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.first() {
        return Err(format!(
            "layers takes no arguments, and was given {unknown}"
        ));
    }
    let found = check(&crate::process::root())?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}\n{} imports do not follow the order in ARCHITECTURE.md",
            found.join("\n"),
            found.len()
        )),
    }
}

/// All imports below `root` that do not follow the order, as `file:line: what is wrong`.
fn check(root: &Path) -> Result<Vec<String>, String> {
    let document = read(&root.join("ARCHITECTURE.md"))?;
    let orders = Order::all(&document)?;
    if orders.is_empty() {
        return Err("ARCHITECTURE.md has no block of code named layers".to_owned());
    }
    let mut found = Vec::new();
    for order in &orders {
        match order.place.as_str() {
            "packages" => packages::check(root, order, &mut found)?,
            place => imports::check(root, place, order, &mut found)?,
        }
    }
    found.dedup();
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
