//! A bill of materials of what `dist` packs: which packages its programs and libraries consist of, with their versions, licences, hashes
//! and how they depend on each other, in the format CycloneDX 1.5. It is made of what cargo says that it builds, and of the lock
//! file, and is the same each time. What is used while building only (macros, and what they are made of) has the scope `excluded`.
//! The C library and libgcc, which are linked when a program starts, are in the package's `Depends`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::process;

/// What is packed.
const ROOTS: [&str; 2] = ["ringway-cli", "ringway-capi"];

/// A package: name and version.
type Id = (String, String);

#[derive(Debug, Default, PartialEq)]
struct Package {
    licence: String,
    repository: String,
    is_macro: bool,
    needs: BTreeSet<Id>,
}

/// The bill.
pub(crate) fn make() -> Result<String, String> {
    let mut tree = process::command(&["cargo", "tree", "--locked", "--edges", "normal"]);
    tree.args(["--prefix", "depth", "--format", "{p}|{l}|{r}"]);
    tree.args(ROOTS.iter().flat_map(|root| ["--package", root]));
    let packages = read(&process::quiet(tree)?)?;
    let lock = process::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    write(&packages, &hashes(&lock))
}

/// Reads lines `DEPTHname vVERSION (...)|licence|repository`. Below what ends with `(*)` stands what stood there before.
fn read(tree: &str) -> Result<BTreeMap<Id, Package>, String> {
    let mut packages: BTreeMap<Id, Package> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let problem = || format!("cargo tree says what is not understood: {line}");
        let digits = line
            .find(|it: char| !it.is_ascii_digit())
            .ok_or_else(problem)?;
        let depth: usize = line[..digits].parse().map_err(|_| problem())?;
        let mut fields = line[digits..].split('|');
        let mut next = || fields.next().ok_or_else(problem);
        let (what, licence, repository) = (next()?, next()?, next()?);
        let mut words = what.split_whitespace();
        let name = words.next().ok_or_else(problem)?;
        let version = words.next().and_then(|word| word.strip_prefix('v'));
        let id = (name.to_owned(), version.ok_or_else(problem)?.to_owned());
        above.truncate(depth);
        if let Some(user) = above.last() {
            let user = packages.entry(user.clone()).or_default();
            user.needs.insert(id.clone());
        }
        let package = packages.entry(id.clone()).or_default();
        licence
            .trim_end_matches(" (*)")
            .clone_into(&mut package.licence);
        repository
            .trim_end_matches("(*)")
            .trim()
            .clone_into(&mut package.repository);
        package.is_macro |= words.any(|word| word == "(proc-macro)");
        above.push(id);
    }
    Ok(packages)
}

/// The hash of each package in a lock file that came from a registry.
fn hashes(lock: &str) -> BTreeMap<Id, String> {
    let value = |block: &str, key: &str| {
        let prefix = format!("{key} = \"");
        let mut lines = block.lines();
        let value = lines.find_map(|line| line.strip_prefix(&prefix))?;
        Some(value.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            let id = (value(block, "name")?, value(block, "version")?);
            Some((id, value(block, "checksum")?))
        })
        .collect()
}

/// What is in the programs, and not only used to build them.
fn included(packages: &BTreeMap<Id, Package>) -> BTreeSet<&Id> {
    let roots = packages
        .keys()
        .filter(|(name, _)| ROOTS.contains(&name.as_str()));
    let (mut left, mut found): (Vec<_>, BTreeSet<_>) = (roots.collect(), BTreeSet::new());
    while let Some(id) = left.pop() {
        let Some(package) = packages.get(id).filter(|package| !package.is_macro) else {
            continue;
        };
        if found.insert(id) {
            left.extend(&package.needs);
        }
    }
    found
}

fn write(
    packages: &BTreeMap<Id, Package>,
    hashes: &BTreeMap<Id, String>,
) -> Result<String, String> {
    let included = included(packages);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let own = |id: &Id| id.0.starts_with("ringway");
    for (id, package) in packages {
        let (name, version) = id;
        if package.licence.is_empty() {
            return Err(format!("{name} {version} has no licence"));
        }
        let mut one = format!(
            "{{\"type\": \"library\", \"bom-ref\": {}, \"name\": {}, \"version\": {}, \"scope\": \"{}\"",
            text(&url(id)),
            text(name),
            text(version),
            if included.contains(id) {
                "required"
            } else {
                "excluded"
            },
        );
        // As SPDX has it; older packages have a slash.
        let licence = package.licence.replace(" / ", "/").replace('/', " OR ");
        let _ = write!(
            one,
            ", \"licenses\": [{{\"expression\": {}}}]",
            text(&licence)
        );
        match hashes.get(id) {
            Some(hash) => {
                let _ = write!(
                    one,
                    ", \"purl\": {}, \"hashes\": [{{\"alg\": \"SHA-256\", \"content\": {}}}]",
                    text(&url(id)),
                    text(hash)
                );
            }
            None if own(id) => {}
            None => return Err(format!("{name} {version} is not in Cargo.lock")),
        }
        if !package.repository.is_empty() {
            let _ = write!(
                one,
                ", \"externalReferences\": [{{\"type\": \"vcs\", \"url\": {}}}]",
                text(&package.repository)
            );
        }
        components.push(one + "}");
        let needs: Vec<_> = package.needs.iter().map(|id| text(&url(id))).collect();
        dependencies.push(format!(
            "{{\"ref\": {}, \"dependsOn\": [{}]}}",
            text(&url(id)),
            needs.join(", ")
        ));
    }
    let roots = packages
        .keys()
        .filter(|(name, _)| ROOTS.contains(&name.as_str()));
    let roots: Vec<_> = roots.map(|id| text(&url(id))).collect();
    dependencies.push(format!(
        "{{\"ref\": \"ringway\", \"dependsOn\": [{}]}}",
        roots.join(", ")
    ));
    Ok(format!(
        "{{\n\"bomFormat\": \"CycloneDX\",\n\"specVersion\": \"1.5\",\n\"version\": 1,\n\"metadata\": {{\"component\": {{\"type\": \"application\", \
         \"bom-ref\": \"ringway\", \"name\": \"ringway\", \"version\": {}}}}},\n\"components\": [\n{}\n],\n\"dependencies\": [\n{}\n]\n}}\n",
        text(env!("CARGO_PKG_VERSION")),
        components.join(",\n"),
        dependencies.join(",\n")
    ))
}

/// A package, as bills of all ecosystems name it.
fn url((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// A string in JSON.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Of this very tree: a bill that a program can read, with all that stands in it explained.
    #[test]
    fn the_bill_is_whole() {
        let bill: Value = serde_json::from_str(&make().unwrap()).unwrap();
        assert_eq!(bill["bomFormat"], "CycloneDX");
        let all = |of: &str, key: &str| -> BTreeSet<String> {
            let all = bill[of].as_array().unwrap().iter();
            all.map(|one| one[key].as_str().unwrap().to_owned())
                .collect()
        };
        let (components, described) = (all("components", "bom-ref"), all("dependencies", "ref"));
        assert!(components.len() > 50, "{components:?}");
        assert_eq!(
            described.difference(&components).collect::<Vec<_>>(),
            ["ringway"]
        );
        let find = |name: &str| {
            let mut all = bill["components"].as_array().unwrap().iter();
            all.find(|one| one["name"] == name).unwrap().clone()
        };
        assert_eq!(find("libc")["scope"], "required");
        assert_eq!(
            find("libc")["hashes"][0]["content"].as_str().unwrap().len(),
            64
        );
        assert_eq!(find("syn")["scope"], "excluded");
        assert_eq!(find("ringway-core")["scope"], "required");
        for one in bill["dependencies"].as_array().unwrap() {
            for need in one["dependsOn"].as_array().unwrap() {
                assert!(components.contains(need.as_str().unwrap()), "{need}");
            }
        }
    }

    #[test]
    fn what_stood_there_before_is_not_forgotten() {
        let tree = "0ringway-cli v1.0.0 (/x)|MIT|\n1a v1.0.0|MIT/Apache-2.0|https://a\n2b v2.0.0 (proc-macro)|MIT|\n\
                    3c v3.0.0|MIT|\n1a v1.0.0|MIT/Apache-2.0|https://a (*)\n1b v2.0.0 (proc-macro)|MIT| (*)\n";
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let packages = read(tree).unwrap();
        assert_eq!(packages[&id("a", "1.0.0")].needs, [id("b", "2.0.0")].into());
        assert_eq!(packages[&id("a", "1.0.0")].repository, "https://a");
        assert_eq!(packages[&id("b", "2.0.0")].needs, [id("c", "3.0.0")].into());
        assert_eq!(packages[&id("b", "2.0.0")].repository, "");
        let in_it: Vec<_> = included(&packages).into_iter().map(|id| &*id.0).collect();
        assert_eq!(in_it, ["a", "ringway-cli"]);
        // What is nowhere in the lock file is not passed over.
        assert!(super::write(&packages, &BTreeMap::new()).is_err());
    }
}
