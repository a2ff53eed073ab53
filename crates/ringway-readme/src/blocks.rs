//! The blocks of code in a document.

/// The text of each block in this language, whatever else stands behind the language's name, in turn.
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let text = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect();
        if kind.split(',').next() == Some(language) {
            found.push(text);
        }
    }
    found
}
