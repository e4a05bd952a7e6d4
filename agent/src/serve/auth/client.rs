//! The tokens with which this program asks a running agent.

use super::{TokenSources, tokens::MADE};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// The first user token of the variable or the file, else the admin token of the variable; nothing where there is none
/// that may be read, for then the agent may need none. An admin token in a file is left alone: it is for people to hand
/// out, and whoever listens on the agent's port while the agent is down would get it.
pub fn client_token(sources: &TokenSources) -> Option<String> {
    let file = || first_of(sources.user_file.as_deref()?).ok().flatten();
    variable(sources.user_token.as_ref()).or_else(file).or_else(|| variable(sources.admin_token.as_ref()))
}

/// An admin token to ask with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The token.
    pub token: String,
    /// The agent made it for itself: it belongs to the agent of this data directory alone.
    pub made: bool,
}

/// Why there is no admin token to ask with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAdminToken {
    /// The agent has made none here.
    #[error(
        "no admin token: there is no {0}; no agent has run with this data directory. Say --data-dir where it has another \
         one, or set TWARGA_ADMIN_TOKEN"
    )]
    NotMade(PathBuf),
    /// The file can't be read.
    #[error("the admin token in {file} can't be read; ask as the agent's user, or set TWARGA_ADMIN_TOKEN")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds none.
    #[error("{0} holds no token; set TWARGA_ADMIN_TOKEN")]
    Empty(PathBuf),
}

/// The admin token of the variable, else the first of the configured file, else the one that the agent made.
pub fn admin_client_token(sources: &TokenSources) -> Result<AdminToken, NoAdminToken> {
    if let Some(token) = variable(sources.admin_token.as_ref()) {
        return Ok(AdminToken { token, made: false });
    }
    let made = sources.admin_file.is_none();
    let file = sources.admin_file.clone().unwrap_or_else(|| sources.data_dir.join(MADE));
    match first_of(&file) {
        Ok(Some(token)) => Ok(AdminToken { token, made }),
        Ok(None) => Err(NoAdminToken::Empty(file)),
        Err(error) if made && error.kind() == io::ErrorKind::NotFound => Err(NoAdminToken::NotMade(file)),
        Err(source) => Err(NoAdminToken::Unreadable { file, source }),
    }
}

fn variable(value: Option<&OsString>) -> Option<String> {
    let text = value?.to_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first token of a file.
fn first_of(file: &Path) -> io::Result<Option<String>> {
    let text = fs::read_to_string(file)?;
    let mut lines = text.lines().map(str::trim);
    Ok(lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned))
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

    #[test]
    fn an_admin_asks_with_what_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let (file, own) = (dir.path().join("admins"), dir.path().join("admin.token"));
        let sources = TokenSources {
            admin_file: Some(file.clone()),
            admin_token: Some("of-the-variable".into()),
            user_token: Some("of-the-user".into()),
            data_dir: dir.path().into(),
            ..TokenSources::default()
        };
        let of_file = TokenSources { admin_token: None, ..sources.clone() };
        let of_agent = TokenSources { admin_file: None, ..of_file.clone() };
        let token = |token: &str, made| AdminToken { token: token.into(), made };
        assert_eq!(admin_client_token(&sources).unwrap(), token("of-the-variable", false));
        assert!(
            matches!(admin_client_token(&of_file), Err(NoAdminToken::Unreadable { file: f, .. }) if f == file)
        );
        assert!(matches!(admin_client_token(&of_agent), Err(NoAdminToken::NotMade(f)) if f == own));
        fs::write(&file, "# nobody\n").unwrap();
        fs::write(&own, "made-at-the-start\n").unwrap();
        assert!(matches!(admin_client_token(&of_file), Err(NoAdminToken::Empty(f)) if f == file));
        assert_eq!(admin_client_token(&of_agent).unwrap(), token("made-at-the-start", true));
        fs::write(&file, "# two\n\nof-the-file\nanother\n").unwrap();
        assert_eq!(admin_client_token(&of_file).unwrap(), token("of-the-file", false));
    }
}
