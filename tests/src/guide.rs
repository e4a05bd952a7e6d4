//! The files that a page of `docs/` has an author write.

/// The code blocks with `file=…`: path and content.
pub fn files(guide: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(file) = info.split_whitespace().find_map(|word| word.strip_prefix("file=")) {
            found.push((file.to_string(), content.join("\n") + "\n"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_cut_out_whole() {
        let found = files(
            "text\n```toml file=a/b.toml\n[x]\n\ny = 1\n```\n```console\n$ x\n```\n```rust file=c.rs\n```\n",
        );
        assert_eq!(found, [("a/b.toml".into(), "[x]\n\ny = 1\n".into()), ("c.rs".into(), "\n".into())]);
    }
}
