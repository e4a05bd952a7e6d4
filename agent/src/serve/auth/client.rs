//! The token with which this program asks a running agent.

use super::TokenSources;
use std::fs;

/// The first user token of the variable or the file, else the admin token of the variable; nothing where there is none
/// that may be read, for then the agent may need none. An admin token in a file is left alone: it is for people to hand
/// out, and whoever listens on the agent's port while the agent is down would get it.
pub fn client_token(sources: &TokenSources) -> Option<String> {
    let variable = |value: &Option<std::ffi::OsString>| {
        let text = value.as_ref()?.to_str()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let file = || {
        let text = fs::read_to_string(sources.user_file.as_ref()?).ok()?;
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
    };
    variable(&sources.user_token).or_else(file).or_else(|| variable(&sources.admin_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesser_token_first() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        fs::write(&file, "# people\n\nof-the-file\nanother\n").unwrap();
        fs::write(dir.path().join("admin.token"), "made-at-the-start\n").unwrap();
        let all = TokenSources {
            user_file: Some(file.clone()),
            admin_file: Some(file),
            user_token: Some("of-the-user ".into()),
            admin_token: Some("of-the-admin".into()),
            data_dir: dir.path().into(),
        };
        let without_user = TokenSources { user_token: Some(" ".into()), ..all.clone() };
        let without_file = TokenSources { user_file: Some(dir.path().join("none")), ..without_user.clone() };
        let bare = TokenSources { admin_token: None, ..without_file.clone() };
        let found = [&all, &without_user, &without_file, &bare].map(client_token);
        let wanted = ["of-the-user", "of-the-file", "of-the-admin"].map(|token| Some(token.to_owned()));
        assert_eq!((&found[..3], &found[3]), (&wanted[..], &None));
    }
}
