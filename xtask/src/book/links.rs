//! Each link of the built book leads to something: a file of the book and, behind `#`, a place in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Follows all links, and returns the pages, from the book's folder on.
pub(crate) fn check(book: &Path) -> Result<Vec<PathBuf>, String> {
    let mut pages = Vec::new();
    collect(book, Path::new(""), &mut pages)?;
    pages.sort();
    let mut texts = BTreeMap::new();
    for page in &pages {
        let path = book.join(page);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        texts.insert(page.clone(), text);
    }
    let mut problems = Vec::new();
    let mut followed = 0;
    for (page, text) in &texts {
        for target in ["href", "src"].iter().flat_map(|name| values(text, name)) {
            // What is elsewhere is not asked.
            if target.contains(':') || target.is_empty() {
                continue;
            }
            followed += 1;
            let (file, place) = target.split_once('#').unwrap_or((&target, ""));
            let file = file.split('?').next().unwrap_or_default();
            let there = match file {
                "" => page.clone(),
                _ => normal(&page.parent().unwrap_or(Path::new("")).join(file)),
            };
            let is_there = match book.join(&there).is_dir() {
                true => book.join(&there).join("index.html").exists(),
                false => book.join(&there).exists(),
            };
            let has_place = place.is_empty()
                || texts
                    .get(&there)
                    .is_none_or(|text| ids(text).contains(place));
            // The page for what is not found is shown anywhere.
            if page.ends_with("404.html") || is_there && has_place {
                continue;
            }
            problems.push(format!("{}: {target} leads nowhere", page.display()));
        }
    }
    println!("{} pages, {followed} links", pages.len());
    match problems.is_empty() {
        true => Ok(pages),
        false => Err(problems.join("\n")),
    }
}

fn collect(book: &Path, folder: &Path, pages: &mut Vec<PathBuf>) -> Result<(), String> {
    let path = book.join(folder);
    let entries = fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    for entry in entries.flatten() {
        let name = folder.join(entry.file_name());
        if entry.path().is_dir() {
            collect(book, &name, pages)?;
        } else if name.extension().is_some_and(|word| word == "html") {
            pages.push(name);
        }
    }
    Ok(())
}

/// The values of an attribute.
fn values(text: &str, name: &str) -> Vec<String> {
    let begin = format!(" {name}=\"");
    let found = text.split(&begin[..]).skip(1);
    let found = found.filter_map(|rest| rest.split_once('"'));
    found
        .map(|(value, _)| value.replace("&amp;", "&"))
        .collect()
}

fn ids(text: &str) -> BTreeSet<String> {
    values(text, "id").into_iter().collect()
}

/// Without `..` and `.`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let book = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(book.path().join(name), text).unwrap();
        write(
            "one.html",
            "<a href=\"two.html#here\">x</a> <a href=\"#top\" id=\"top\">y</a>",
        );
        write(
            "two.html",
            "<h1 id=\"here\"></h1><a href=\"one.html?x\"></a>",
        );
        assert_eq!(check(book.path()).unwrap().len(), 2);
        write("two.html", "<h1 id=\"there\"></h1><img src=\"gone.svg\">");
        let problem = check(book.path()).unwrap_err();
        assert_eq!(
            problem,
            "one.html: two.html#here leads nowhere\ntwo.html: gone.svg leads nowhere"
        );
    }
}
