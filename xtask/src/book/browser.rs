//! A real browser looks at each page, as wide as a telephone and as wide as a desk: nothing may be wider than the window, and the
//! search finds a word. It takes pictures of some, in light and dark, for people to look at: `target/book-pictures`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

/// How wide, and how high for pictures.
const WINDOWS: &[(u32, u32)] = &[(420, 2400), (1280, 2000)];
/// Of which pages pictures are taken.
const PICTURES: &[&str] = &[
    "start.html",
    "choosing.html",
    "dying.html",
    "how-it-works.html",
    "ground-up.html",
];
const FOLDER: &str = "target/book-pictures";
/// Where the browser keeps what it keeps.
const PROFILE: &str = "target/book-browser";

/// Opens one page after the other in a frame and writes down what is too wide.
const LOOK: &str = r#"<!doctype html><body style="margin:0"><pre id="found"></pre><script>
const pages = PAGES, width = WIDTH, found = document.getElementById("found");
async function look(page) {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.src = page;
  document.body.append(frame);
  await new Promise(loaded => frame.onload = loaded);
  await new Promise(settled => setTimeout(settled, 30));
  const inside = frame.contentDocument, view = inside.documentElement;
  if (view.scrollWidth > view.clientWidth) found.textContent += `${page} is ${view.scrollWidth} wide\n`;
  for (const part of inside.querySelectorAll("main *")) {
    const right = part.getBoundingClientRect().right;
    let scrolls = false;
    for (let up = part; up && up.tagName != "MAIN"; up = up.parentElement)
      scrolls ||= getComputedStyle(up).overflowX != "visible";
    if (right > width + 1 && !scrolls) found.textContent += `${page}: ${part.tagName} ends at ${Math.round(right)}\n`;
  }
  for (const image of inside.images)
    if (!image.complete || image.naturalWidth == 0) found.textContent += `${page}: ${image.src} is not shown\n`;
  frame.remove();
}
// As a reader does who has typed a word that only some chapters have.
async function search() {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.src = "start.html?search=eventcount";
  document.body.append(frame);
  await new Promise(loaded => frame.onload = loaded);
  let results = [];
  for (let look = 0; look < 100 && results.length == 0; look++) {
    await new Promise(settled => setTimeout(settled, 50));
    results = [...frame.contentDocument.querySelectorAll('#mdbook-searchresults li a')];
  }
  if (!results.some(result => result.href.includes("how-it-works.html")))
    found.textContent += `the search for a word finds ${results.length} places, and not the one that explains it\n`;
  frame.remove();
}
(async () => { for (const page of pages) await look(page); await search(); found.textContent += "looked"; })();
</script>"#;

/// Looks at all pages.
pub(crate) fn check(book: &Path, pages: &[PathBuf]) -> Result<(), String> {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| process::quiet(process::command(&[name, "--version"])).is_ok())
    else {
        println!(
            "skipped: no browser looks at the pages, as there is no chromium (apt-get install chromium)"
        );
        return Ok(());
    };
    // A profile of its own, so that no running browser is asked.
    let profile = process::root().join(PROFILE);
    let browse = |arguments: &[String]| {
        let mut command = process::command(&[browser, "--headless", "--no-sandbox"]);
        command.args(["--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
        command.args(["--disable-dev-shm-usage", "--allow-file-access-from-files"]);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.args(arguments);
        process::quiet(command)
    };
    let names: Vec<String> = pages
        .iter()
        .map(|page| page.display().to_string())
        // All chapters in one, for printers; and what has no content of its own.
        .filter(|name| !["print.html", "404.html", "toc.html"].contains(&name.as_str()))
        .collect();
    for (width, _) in WINDOWS {
        let list: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let look = LOOK
            .replace("PAGES", &format!("[{}]", list.join(",")))
            .replace("WIDTH", &width.to_string());
        let path = book.join("look.html");
        fs::write(&path, look).map_err(|error| error.to_string())?;
        let seen = browse(&[
            "--dump-dom".to_owned(),
            "--virtual-time-budget=120000".to_owned(),
            format!("--window-size={},900", width + 20),
            format!("file://{}", path.display()),
        ]);
        fs::remove_file(&path).map_err(|error| error.to_string())?;
        let seen = seen?;
        let found = seen
            .split_once("id=\"found\">")
            .and_then(|(_, rest)| rest.split_once("</pre>"))
            .map_or(seen.as_str(), |(found, _)| found);
        if found != "looked" {
            return Err(format!("{width} wide: {found}"));
        }
        println!(
            "{} pages are no wider than {width}, and the search finds a word",
            names.len()
        );
    }
    let folder = process::root().join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for page in PICTURES.iter().filter(|page| book.join(page).exists()) {
        for (width, height) in WINDOWS {
            for dark in [false, true] {
                // On a desk in the dark, or on a telephone by day.
                if dark != (*width > 1000) {
                    continue;
                }
                let name = page.trim_end_matches(".html");
                let picture = folder.join(format!("{name}-{width}.png"));
                let mut arguments = vec![
                    format!("--screenshot={}", picture.display()),
                    format!("--window-size={width},{height}"),
                ];
                if dark {
                    arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
                }
                arguments.push(format!("file://{}", book.join(page).display()));
                browse(&arguments)?;
            }
        }
    }
    println!("pictures are in {FOLDER}");
    Ok(())
}
