//! What packages of the workspace depend on, from their manifests.

use std::path::Path;

use super::order::Order;
use super::read;

/// Adds what packages depend on against the order. For tests (`dev-dependencies`) they may depend on each other.
pub(super) fn check(root: &Path, order: &Order, found: &mut Vec<String>) -> Result<(), String> {
    let mut manifests = vec!["Cargo.toml".to_owned()];
    let crates = root.join("crates");
    let folders =
        std::fs::read_dir(&crates).map_err(|error| format!("{}: {error}", crates.display()))?;
    for folder in folders {
        let folder = folder.map_err(|error| format!("{}: {error}", crates.display()))?;
        manifests.push(format!(
            "crates/{}/Cargo.toml",
            folder.file_name().display()
        ));
    }
    manifests.sort();
    for manifest in manifests {
        look(&manifest, &read(&root.join(&manifest))?, order, found);
    }
    Ok(())
}

fn look(manifest: &str, text: &str, order: &Order, found: &mut Vec<String>) {
    let mut package = "";
    let mut table = "";
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']);
        } else if table == "package" && line.starts_with("name") {
            package = line.split('"').nth(1).unwrap_or("");
        } else if table == "dependencies" || table == "build-dependencies" {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if name.starts_with("ringway")
                && let Some(objection) = order.objection(package, name)
            {
                found.push(format!("{manifest}:{}: {objection}", number + 1));
            }
        }
    }
}
