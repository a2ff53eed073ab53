//! The blocks of code in a document.

/// One block.
pub struct Block {
    /// What stands behind the opening fence: a language, and more behind commas.
    pub info: String,
    /// What stands in it.
    pub text: String,
}

/// All blocks, in turn.
pub fn all(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let text = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect();
        found.push(Block {
            info: info.to_owned(),
            text,
        });
    }
    found
}

/// The text of each block in this language, whatever else stands behind the language's name, in turn.
#[allow(dead_code, reason = "the build script asks for all blocks only")]
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let found = all(document).into_iter();
    let found = found.filter(|block| block.info.split(',').next() == Some(language));
    found.map(|block| block.text).collect()
}
