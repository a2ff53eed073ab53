//! Each link within the repository's pages leads to something: a file, and behind `#` a heading in it. (`cargo xtask book` follows
//! those of the built book.)

use std::path::{Path, PathBuf};

/// All pages but those that are made, or that belong to what is built.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The lines that are no code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// What a heading is called behind `#`.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().map(|it| if it == ' ' { '-' } else { it });
    kept.filter(|it| it.is_alphanumeric() || "-_".contains(*it))
        .collect()
}

fn has_place(page: &str, place: &str) -> bool {
    let mut headings = prose(page).filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.trim())
    });
    headings.any(|heading| slug(heading) == place)
}

#[test]
fn each_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let mut all = Vec::new();
    pages(&root, &mut all);
    let (mut problems, mut followed) = (Vec::new(), 0);
    for page in &all {
        let text = std::fs::read_to_string(page).unwrap();
        for line in prose(&text) {
            for link in line.split("](").skip(1) {
                let target = link.split(')').next().unwrap();
                if target.contains(':') || target.contains(' ') {
                    continue;
                }
                followed += 1;
                let (file, place) = target.split_once('#').unwrap_or((target, ""));
                let there = match file {
                    "" => page.clone(),
                    _ => page.parent().unwrap().join(file),
                };
                let is_page = there.extension().is_some_and(|it| it == "md");
                let has_all = there.exists()
                    && (place.is_empty()
                        || !is_page
                        || has_place(&std::fs::read_to_string(&there).unwrap(), place));
                if !has_all {
                    let page = page.strip_prefix(&root).unwrap().display();
                    problems.push(format!("{page}: {target}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "lead nowhere: {problems:#?}");
    assert!(followed > 100, "{followed} links in {} pages", all.len());
}

#[test]
fn a_heading_is_found_by_its_words() {
    let page = "# A: --b and `C_d`\n```sh\n# no heading\n```\n";
    assert!(has_place(page, "a---b-and-c_d"));
    assert!(!has_place(page, "no-heading"));
}
